import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { compareBytes, type StoreReader } from '@synod/runtime';
import {
  newestVersion,
  openStore,
  putVersion,
  readAt,
  scanAt,
  scanPage,
  TIMESTAMP_MAX,
  type LmdbStore,
  type ScanEntry,
} from './index';

const PREFIX = Buffer.from('p');
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

let folder = '';
let store: LmdbStore;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'synod-mvcc-'));
  store = await openStore({ folder });
});

afterEach(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

function put(key: string, timestamp: bigint, value: string | undefined): void {
  store.transaction((tx) =>
    putVersion(tx, PREFIX, bytes(key), timestamp, value === undefined ? undefined : bytes(value)),
  );
}

function texts(entries: Iterable<ScanEntry>): string[] {
  return Array.from(entries, ({ key, value, version }) => `${key.toString()}=${value.toString()}@${version}`);
}

/** Counts what is asked of the store. */
function counting(reader: StoreReader): { reader: StoreReader; steps: () => number; seeks: () => number } {
  const count = { steps: 0, seeks: 0 };
  const counted: StoreReader = {
    get: (key) => reader.get(key),
    *range(range) {
      count.seeks += 1;
      for (const entry of reader.range(range)) {
        count.steps += 1;
        yield entry;
      }
    },
  };
  return { reader: counted, steps: () => count.steps, seeks: () => count.seeks };
}

describe('A read at a timestamp', () => {
  it('finds the newest version at or below it, deletions included', () => {
    put('k', 10n, 'ten');
    put('k', 20n, undefined);
    put('k', 30n, '');
    const at = (timestamp: bigint) => readAt(store, PREFIX, bytes('k'), timestamp);
    expect(at(9n)).toBeUndefined();
    expect(at(10n)).toEqual({ value: bytes('ten'), version: 10n });
    expect(at(19n)).toEqual({ value: bytes('ten'), version: 10n });
    expect(at(20n)).toEqual({ value: undefined, version: 20n });
    expect(at(TIMESTAMP_MAX)).toEqual({ value: bytes(''), version: 30n });
    expect(newestVersion(store, PREFIX, bytes('k'))).toBe(30n);
    expect(newestVersion(store, PREFIX, bytes('other'))).toBeUndefined();
  });

  it('costs one seek and one step, however many versions there are', () => {
    for (let timestamp = 1n; timestamp <= 500n; timestamp += 1n) put('k', timestamp, `${timestamp}`);
    const { reader, steps, seeks } = counting(store);
    expect(readAt(reader, PREFIX, bytes('k'), 250n)?.version).toBe(250n);
    expect([seeks(), steps()]).toEqual([1, 1]);
  });

  it('takes timestamps beyond 2^53 without rounding', () => {
    const timestamp = (1_790_000_000_000n << 18n) | 5n;
    put('k', timestamp, 'v');
    expect(readAt(store, PREFIX, bytes('k'), timestamp - 1n)).toBeUndefined();
    expect(readAt(store, PREFIX, bytes('k'), timestamp)?.version).toBe(timestamp);
  });
});

describe('A scan at a timestamp', () => {
  it('passes over a key with many versions in a few steps', () => {
    for (let timestamp = 1n; timestamp <= 1_000n; timestamp += 1n) put('b', timestamp, `${timestamp}`);
    put('a', 1n, 'a');
    put('c', 1n, 'c');
    for (const [timestamp, b] of [
      [500n, 'b=500@500'],
      [TIMESTAMP_MAX, 'b=1000@1000'],
      [1n, 'b=1@1'],
    ] as const) {
      const { reader, steps } = counting(store);
      expect(texts(scanAt(reader, PREFIX, bytes(''), undefined, timestamp))).toEqual(['a=a@1', b, 'c=c@1']);
      expect(steps()).toBeLessThan(16);
    }
  });

  it('stays inside its prefix', () => {
    put('k', 1n, 'mine');
    store.transaction((tx) => {
      putVersion(tx, bytes('o'), bytes('k'), 1n, bytes('before'));
      putVersion(tx, bytes('q'), bytes('k'), 1n, bytes('after'));
    });
    expect(texts(scanAt(store, PREFIX, bytes(''), undefined, 9n))).toEqual(['k=mine@1']);
  });

  it('gives a region of deletions in short pages that go on where the last one stopped', () => {
    for (let i = 0; i < 100; i += 1) put(`k${i}`, 1n, i === 99 ? 'last' : undefined);
    const found: string[] = [];
    let pages = 0;
    for (let start: Buffer | undefined = bytes(''); start !== undefined; pages += 1) {
      const page = scanPage(store, { prefix: PREFIX, start, end: undefined, timestamp: 9n, limit: 10, visitsMax: 20 });
      found.push(...texts(page.entries));
      start = page.resume;
    }
    expect(found).toEqual(['k99=last@1']);
    expect(pages).toBe(5);
  });

  it('ends a page at its bytes, with at least one entry', () => {
    for (const key of ['a', 'b', 'c']) put(key, 1n, 'x'.repeat(50));
    const page = (bytesMax: number) =>
      scanPage(store, { prefix: PREFIX, start: bytes(''), end: undefined, timestamp: 9n, limit: 10, bytesMax });
    expect(page(1).entries).toHaveLength(1);
    expect(page(1).resume).toEqual(bytes('b'));
    expect(page(52).entries).toHaveLength(2);
    expect(page(10_000)).toMatchObject({ resume: undefined });
  });
});

it('answers reads, scans and pages as a map of all versions does', async () => {
  const anyKey = fc.array(fc.constantFrom('a', '\0', '\xff'), { maxLength: 10 }).map((parts) => parts.join(''));
  const anyTimestamp = fc.bigInt(1n, 12n);
  const anyWrite = fc.tuple(anyKey, anyTimestamp, fc.option(fc.string({ maxLength: 3 }), { nil: undefined }));
  const anyLook = fc.record({
    start: anyKey,
    end: fc.option(anyKey, { nil: undefined }),
    timestamp: anyTimestamp,
    limit: fc.integer({ min: 1, max: 4 }),
    visitsMax: fc.integer({ min: 1, max: 30 }),
  });
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyWrite, { maxLength: 60 }),
      fc.array(anyLook, { maxLength: 6 }),
      fc.boolean(),
      async (writes, looks, flushes) => {
        const prefix = bytes(`run${run++}/`);
        const model = new Map<string, Map<bigint, string | undefined>>();
        store.transaction((tx) => {
          for (const [key, timestamp, value] of writes) {
            putVersion(tx, prefix, bytes(key), timestamp, value === undefined ? undefined : bytes(value));
            model.set(key, (model.get(key) ?? new Map<bigint, string | undefined>()).set(timestamp, value));
          }
        });
        if (flushes) await store.flush();
        for (const { start, end, timestamp, limit, visitsMax } of looks) {
          const visible = visibleIn(model, timestamp);
          const read = readAt(store, prefix, bytes(start), timestamp);
          expect(read && [read.value?.toString('latin1'), read.version]).toEqual(visible.get(start));
          const expected = [...visible]
            .filter(([key, [value]]) => value !== undefined && key >= start && (end === undefined || key < end))
            .sort(([a], [b]) => compareBytes(bytes(a), bytes(b)))
            .map(([key, [value, version]]) => ({ key: bytes(key), value: bytes(value ?? ''), version }));
          const stop = end === undefined ? undefined : bytes(end);
          expect([...scanAt(store, prefix, bytes(start), stop, timestamp)]).toEqual(expected);
          const paged: ScanEntry[] = [];
          for (let from: Buffer | undefined = bytes(start); from !== undefined;) {
            const page = scanPage(store, { prefix, start: from, end: stop, timestamp, limit, visitsMax });
            expect(page.entries.length).toBeLessThanOrEqual(limit);
            paged.push(...page.entries);
            from = page.resume;
          }
          expect(paged).toEqual(expected);
        }
      },
    ),
    { numRuns: 200 },
  );
});

/** By key, the value and timestamp of the newest version at or below a timestamp: slow and obvious. */
function visibleIn(
  model: ReadonlyMap<string, ReadonlyMap<bigint, string | undefined>>,
  timestamp: bigint,
): Map<string, [string | undefined, bigint]> {
  const visible = new Map<string, [string | undefined, bigint]>();
  for (const [key, versions] of model) {
    for (const [version, value] of versions) {
      const newest = visible.get(key)?.[1] ?? 0n;
      if (version <= timestamp && version > newest) visible.set(key, [value, version]);
    }
  }
  return visible;
}
