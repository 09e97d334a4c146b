import { isOlder, waitOrDie } from './wait-die';
import type { TxnAttempt } from './words';

const attempt = (id: string, priority: bigint, n = 1): TxnAttempt => ({ txn: { id, anchor: 0 }, attempt: n, priority });

it('lets the older wait and the younger die', () => {
  expect(waitOrDie(attempt('a', 1n), attempt('b', 2n))).toBe('wait');
  expect(waitOrDie(attempt('b', 2n), attempt('a', 1n))).toBe('die');
});

it('keeps the age of a transaction over its retries', () => {
  expect(waitOrDie(attempt('a', 1n, 7), attempt('b', 2n))).toBe('wait');
});

it('breaks ties so that exactly one of two waits', () => {
  const [a, b] = [attempt('a', 1n), attempt('b', 1n)];
  expect([waitOrDie(a, b), waitOrDie(b, a)].sort()).toEqual(['die', 'wait']);
  expect(isOlder(a, a)).toBe(false);
});

it('lets a repeat of the same transaction wait for the first', () => {
  expect(waitOrDie(attempt('a', 5n), attempt('a', 5n))).toBe('wait');
});
