import { SynodError, type Timers } from '@synod/runtime';
import { isOlder, type Key, type TxnAttempt } from '@synod/two-phase-commit';

interface Waiter {
  readonly key: Key;
  /** Absent for reads, which go first: they hold nothing up. */
  readonly attempt: TxnAttempt | undefined;
  readonly settle: (how: 'woken' | 'timeout') => void;
  readonly fail: (error: SynodError) => void;
}

/** Requests that wait until something about a key changes: a latch let go, a lock released. Being woken promises nothing. */
export class KeyWaiters {
  private readonly waiting = new Map<Key, Set<Waiter>>();
  private count = 0;

  constructor(
    private readonly timers: Timers,
    private readonly waitersMax: number,
  ) {}

  /**
   * @returns `woken`, or `timeout` after `timeoutUs`
   * @throws {SynodError} `overloaded` at once; what `fail` was given, if it is called meanwhile
   */
  wait(key: Key, attempt: TxnAttempt | undefined, timeoutUs: number): Promise<'woken' | 'timeout'> {
    if (this.count >= this.waitersMax) {
      return Promise.reject(
        new SynodError('overloaded', `${this.waitersMax} requests wait for keys of this shard; back off`),
      );
    }
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        cancel();
        this.remove(waiter);
      };
      const waiter: Waiter = {
        key,
        attempt,
        settle: (how) => {
          leave();
          resolve(how);
        },
        fail: (error) => {
          leave();
          reject(error);
        },
      };
      const cancel = this.timers.after(timeoutUs, () => waiter.settle('timeout'));
      this.add(waiter);
    });
  }

  /** Lets everyone who waits for one of these keys look again, the oldest transaction first. */
  wake(keys: Iterable<Key>): void {
    for (const key of keys) {
      for (const waiter of [...(this.waiting.get(key) ?? [])].sort(oldestFirst)) waiter.settle('woken');
    }
  }

  /** Ends every wait with an error. */
  fail(error: SynodError): void {
    for (const waiters of [...this.waiting.values()]) for (const waiter of [...waiters]) waiter.fail(error);
  }

  private add(waiter: Waiter): void {
    const waiters = this.waiting.get(waiter.key);
    if (waiters === undefined) this.waiting.set(waiter.key, new Set([waiter]));
    else waiters.add(waiter);
    this.count++;
  }

  private remove(waiter: Waiter): void {
    const waiters = this.waiting.get(waiter.key);
    if (waiters?.delete(waiter) !== true) return;
    this.count--;
    if (waiters.size === 0) this.waiting.delete(waiter.key);
  }
}

function oldestFirst(a: Waiter, b: Waiter): number {
  if (a.attempt === undefined || b.attempt === undefined)
    return Number(a.attempt !== undefined) - Number(b.attempt !== undefined);
  return isOlder(a.attempt, b.attempt) ? -1 : Number(isOlder(b.attempt, a.attempt));
}
