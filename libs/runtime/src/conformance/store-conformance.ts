import { compareBytes, successor } from '../byte-order';
import { STORE_KEY_BYTES_MAX, type Entry, type KeyRange, type Store, type StoreReader } from '../store';

/** What one scenario of the store suite works on. */
export interface StoreBench {
  /** Empty. */
  readonly store: Store;
  /**
   * The same store after a power cut, as well as the adapter can play one: the simulated store falls back to some transaction
   * boundary at or after its last flush, the real one is closed and opened again. `store` is not used afterwards.
   */
  readonly powerCut: () => Promise<Store>;
}

/** Runs one scenario over a fresh bench to its end, turning virtual time meanwhile if the adapter lives in it. */
export type RunOnStore = (scenario: (bench: StoreBench) => Promise<void> | void) => Promise<void>;

/** The contract of the `Store` port as a jest suite; each adapter's spec calls it. */
export function describeStore(name: string, run: RunOnStore): void {
  const on: On = (fact, scenario) => it(fact, () => run(scenario));
  describe(`${name} as a Store`, () => {
    describeEntries(on);
    describeRanges(on);
    describeTransactions(on);
    describeSnapshots(on);
    describeFlushes(on);
    on('behaves as a sorted map under 1,000 random transactions', ({ store }) => playAgainstSortedMap(store));
  });
}

type On = (fact: string, scenario: (bench: StoreBench) => Promise<void> | void) => void;

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const LAST = Buffer.alloc(STORE_KEY_BYTES_MAX + 1, 0xff);
const everything: KeyRange = { start: bytes(''), end: LAST };

function keysOf(entries: Iterable<Entry>): string[] {
  return Array.from(entries, ({ key }) => key.toString('latin1'));
}

function fill(store: Store, ...keys: readonly string[]): void {
  store.transaction((tx) => {
    for (const key of keys) tx.put(bytes(key), bytes(`${key}!`));
  });
}

function describeEntries(on: On): void {
  on('finds what was put last, and nothing for a removed or missing key', ({ store }) => {
    fill(store, 'a', 'b', 'c');
    store.transaction((tx) => {
      tx.put(bytes('a'), bytes('again'));
      tx.remove(bytes('b'));
      tx.remove(bytes('missing'));
    });
    expect(store.get(bytes('a'))).toEqual(bytes('again'));
    expect(store.get(bytes('b'))).toBeUndefined();
    expect(store.get(bytes('c'))).toEqual(bytes('c!'));
    expect(store.get(bytes('missing'))).toBeUndefined();
  });

  on('takes keys of 1 to 1,900 bytes and values from none to mebibytes', async ({ store }) => {
    const long = Buffer.alloc(STORE_KEY_BYTES_MAX, 0xfe);
    const large = Buffer.alloc(3 << 20, 0x5a);
    store.transaction((tx) => {
      tx.put(bytes('\0'), bytes(''));
      tx.put(long, large);
    });
    for (let look = 0; look < 2; look += 1) {
      expect(store.get(bytes('\0'))).toEqual(bytes(''));
      expect(store.get(long)?.equals(large)).toBe(true);
      const found = Array.from(store.range(everything), ({ key, value }) => [key.length, value.length]);
      expect(found).toEqual([
        [1, 0],
        [STORE_KEY_BYTES_MAX, large.length],
      ]);
      await store.flush();
    }
  });

  on('refuses other keys', ({ store }) => {
    for (const key of [bytes(''), Buffer.alloc(STORE_KEY_BYTES_MAX + 1)]) {
      const refused = expect.objectContaining({ kind: 'invalid-argument' }) as Error;
      expect(thrownBy(() => store.get(key))).toEqual(refused);
      expect(thrownBy(() => store.transaction((tx) => tx.get(key)))).toEqual(refused);
      expect(thrownBy(() => store.transaction((tx) => tx.put(key, bytes('v'))))).toEqual(refused);
      expect(thrownBy(() => store.transaction((tx) => tx.remove(key)))).toEqual(refused);
    }
  });

  on('shares no buffer with its caller', async ({ store }) => {
    const [key, value] = [bytes('key'), bytes('value')];
    store.transaction((tx) => {
      tx.put(key, value);
      key.fill(0x7a);
      value.fill(0x7a);
    });
    const got = store.get(bytes('key'));
    const [entry] = store.range(everything);
    fill(store, ...Array.from({ length: 200 }, (_, i) => `other${i}`));
    keysOf(store.range(everything));
    store.transaction((tx) => tx.put(bytes('key'), bytes('VALUE')));
    expect(got).toEqual(bytes('value'));
    expect(entry).toEqual({ key: bytes('key'), value: bytes('value') });
    for (let look = 0; look < 2; look += 1) {
      const read = store.get(bytes('key'));
      const [first, second] = store.range(everything);
      expect([read, first?.value, second?.value]).toEqual([bytes('VALUE'), bytes('VALUE'), bytes('other0!')]);
      for (const buffer of [read, first?.key, first?.value, second?.key, second?.value]) buffer?.fill(0);
      expect(store.get(bytes('key'))).toEqual(bytes('VALUE'));
      await store.flush();
    }
  });
}

function describeRanges(on: On): void {
  /** What a store holds back in memory and what it has flushed are two paths that must not differ. */
  const onBoth = (
    fact: string,
    scenario: (store: Store, fill: (...keys: string[]) => Promise<void>) => Promise<void>,
  ): void => {
    on(fact, ({ store }) => scenario(store, async (...keys) => fill(store, ...keys)));
    on(`${fact}, once flushed`, ({ store }) =>
      scenario(store, async (...keys) => {
        fill(store, ...keys);
        await store.flush();
      }),
    );
  };

  onBoth('orders keys as unsigned bytes, a key before those that it begins', async (store, fill) => {
    await fill('\xff', 'b', 'ab', '\x7f', 'a', '\x80', 'a\0', '\0', 'a\xff', '\xff\xff');
    expect(keysOf(store.range(everything))).toEqual([
      '\0',
      'a',
      'a\0',
      'ab',
      'a\xff',
      'b',
      '\x7f',
      '\x80',
      '\xff',
      '\xff\xff',
    ]);
  });

  onBoth('includes the start of a range and excludes its end, forwards and in reverse', async (store, fill) => {
    await fill('a', 'b', 'c', 'd', 'e');
    const range = { start: bytes('b'), end: bytes('d') };
    expect(keysOf(store.range(range))).toEqual(['b', 'c']);
    expect(keysOf(store.range({ ...range, reverse: true }))).toEqual(['c', 'b']);
    const between = { start: bytes('aa'), end: bytes('dd') };
    expect(keysOf(store.range(between))).toEqual(['b', 'c', 'd']);
    expect(keysOf(store.range({ ...between, reverse: true }))).toEqual(['d', 'c', 'b']);
    const beyond = { start: bytes('c'), end: bytes('z') };
    expect(keysOf(store.range({ ...beyond, reverse: true }))).toEqual(['e', 'd', 'c']);
  });

  onBoth('finds nothing between bounds that are equal or crossed', async (store, fill) => {
    await fill('a', 'b', 'c');
    for (const reverse of [false, true]) {
      expect(keysOf(store.range({ start: bytes('b'), end: bytes('b'), reverse }))).toEqual([]);
      expect(keysOf(store.range({ start: bytes('c'), end: bytes('a'), reverse }))).toEqual([]);
      expect(keysOf(store.range({ start: bytes(''), end: bytes(''), reverse }))).toEqual([]);
      expect(keysOf(store.range({ start: bytes('x'), end: bytes('z'), reverse }))).toEqual([]);
    }
  });

  onBoth('stops at the limit', async (store, fill) => {
    await fill('a', 'b', 'c');
    expect(keysOf(store.range({ ...everything, limit: 2 }))).toEqual(['a', 'b']);
    expect(keysOf(store.range({ ...everything, limit: 2, reverse: true }))).toEqual(['c', 'b']);
    expect(keysOf(store.range({ ...everything, limit: 0 }))).toEqual([]);
    expect(keysOf(store.range({ ...everything, limit: 9 }))).toEqual(['a', 'b', 'c']);
  });

  onBoth('takes bounds longer than any key', async (store, fill) => {
    const longest = Buffer.alloc(STORE_KEY_BYTES_MAX, 0x61);
    await fill(longest.toString('latin1'));
    const past = Buffer.concat([successor(longest), Buffer.alloc(5_000, 0xff)]);
    expect(keysOf(store.range({ start: longest, end: past }))).toHaveLength(1);
    expect(keysOf(store.range({ start: successor(longest), end: past }))).toEqual([]);
    expect(keysOf(store.range({ start: bytes('a'), end: successor(longest), reverse: true }))).toHaveLength(1);
    expect(keysOf(store.range({ start: past, end: LAST }))).toEqual([]);
  });

  onBoth('can be left half-way, walked twice and walked side by side', async (store, fill) => {
    await fill('a', 'b', 'c');
    const range = store.range(everything);
    for (const { key } of range) {
      expect(key).toEqual(bytes('a'));
      break;
    }
    expect(keysOf(range)).toEqual(['a', 'b', 'c']);
    const pairs: string[] = [];
    for (const one of range) for (const other of range) pairs.push(`${one.key.toString()}${other.key.toString()}`);
    expect(pairs).toEqual(['aa', 'ab', 'ac', 'ba', 'bb', 'bc', 'ca', 'cb', 'cc']);
  });

  on('breaks loudly when a transaction commits under a range of the store', ({ store }) => {
    fill(store, 'a', 'b', 'c');
    const walk = (): void => {
      for (const { key } of store.range(everything)) store.transaction((tx) => tx.remove(key));
    };
    expect(thrownBy(walk)).toEqual(expect.objectContaining({ invariant: 'range-reads-one-version' }));
  });
}

function describeTransactions(on: On): void {
  on('shows a transaction its own writes', ({ store }) => {
    fill(store, 'a', 'b', 'c');
    const result = store.transaction((tx) => {
      tx.put(bytes('bb'), bytes('new'));
      tx.remove(bytes('a'));
      expect(tx.get(bytes('a'))).toBeUndefined();
      expect(tx.get(bytes('bb'))).toEqual(bytes('new'));
      expect(keysOf(tx.range(everything))).toEqual(['b', 'bb', 'c']);
      expect(keysOf(tx.range({ ...everything, reverse: true, limit: 2 }))).toEqual(['c', 'bb']);
      return 'result';
    });
    expect(result).toBe('result');
    expect(keysOf(store.range(everything))).toEqual(['b', 'bb', 'c']);
  });

  on('keeps nothing of a transaction that throws', ({ store }) => {
    fill(store, 'a');
    const failure = new Error('no');
    const work = (): void =>
      store.transaction((tx) => {
        tx.put(bytes('b'), bytes('b'));
        tx.remove(bytes('a'));
        throw failure;
      });
    expect(thrownBy(work)).toBe(failure);
    expect(keysOf(store.range(everything))).toEqual(['a']);
    fill(store, 'c');
    expect(keysOf(store.range(everything))).toEqual(['a', 'c']);
  });

  on('refuses a transaction inside a transaction, and one used after its end', ({ store }) => {
    const nested = (): void => store.transaction(() => store.transaction((tx) => tx.put(bytes('a'), bytes('a'))));
    expect(thrownBy(nested)).toBeDefined();
    const late = store.transaction((tx) => tx);
    expect(thrownBy(() => late.put(bytes('a'), bytes('a')))).toBeDefined();
    expect(keysOf(store.range(everything))).toEqual([]);
  });

  on('lets a transaction remove and put while it walks a range', ({ store }) => {
    fill(store, 'a', 'b', 'c', 'e', 'g');
    const walked: string[] = [];
    store.transaction((tx) => {
      for (const { key } of tx.range(everything)) {
        walked.push(key.toString());
        tx.remove(key);
        if (walked.length === 2) {
          tx.remove(bytes('c'));
          tx.put(bytes('d'), bytes('ahead of the walk'));
          tx.put(bytes('aa'), bytes('behind the walk'));
        }
      }
    });
    expect(walked).toEqual(['a', 'b', 'd', 'e', 'g']);
    expect(keysOf(store.range(everything))).toEqual(['aa']);
  });

  on('lets a transaction remove while it walks in reverse', ({ store }) => {
    fill(store, 'a', 'b', 'c', 'd');
    store.transaction((tx) => {
      for (const { key } of tx.range({ ...everything, reverse: true, limit: 3 })) tx.remove(key);
    });
    expect(keysOf(store.range(everything))).toEqual(['a']);
  });
}

function describeSnapshots(on: On): void {
  on('keeps a moment readable while transactions and flushes go on', async ({ store }) => {
    fill(store, 'a', 'b');
    await store.flush();
    fill(store, 'c');
    const snapshot = store.snapshot();
    const early = snapshot.range(everything)[Symbol.iterator]();
    const first = early.next().value as Entry;
    for (let round = 0; round < 5; round += 1) {
      store.transaction((tx) => {
        tx.remove(bytes('a'));
        tx.put(bytes('b'), bytes(`changed ${round}`));
        tx.put(bytes(`new ${round}`), Buffer.alloc(300_000));
      });
      await store.flush();
    }
    expect([first, ...{ [Symbol.iterator]: () => early }].map(({ key }) => key.toString())).toEqual(['a', 'b', 'c']);
    expect([...snapshot.range({ ...everything, start: bytes('b') })]).toEqual(
      ['b', 'c'].map((key) => ({ key: bytes(key), value: bytes(`${key}!`) })),
    );
    expect([snapshot.get(bytes('a')), snapshot.get(bytes('new 0'))]).toEqual([bytes('a!'), undefined]);
    snapshot.release();
    snapshot.release();
    expect(store.get(bytes('b'))).toEqual(bytes('changed 4'));
  });

  on(
    'shows one transaction boundary, not before the last flush, whatever is committed meanwhile',
    async ({ store }) => {
      const writeRound = (round: number): void =>
        store.transaction((tx) => {
          tx.put(bytes('rounds'), bytes(String(round)));
          for (let i = 0; i < 20; i += 1) tx.put(bytes(`${round}/${i}`), Buffer.alloc(300, i));
          tx.remove(bytes(`${round - 1}/0`));
        });
      for (let round = 1; round <= 3; round += 1) writeRound(round);
      await store.flush();
      writeRound(4);
      const snapshot = store.snapshot();
      const rounds = Number(snapshot.get(bytes('rounds')));
      expect(rounds).toBeGreaterThanOrEqual(3);
      const seen = keysOf(snapshot.range(everything));
      expect(seen).toHaveLength(1 + rounds * 20 - (rounds - 1));
      for (let round = 5; round <= 20; round += 1) {
        writeRound(round);
        await store.flush();
        expect(Number(snapshot.get(bytes('rounds')))).toBe(rounds);
        expect(keysOf(snapshot.range(everything))).toEqual(seen);
      }
      expect(keysOf(snapshot.range({ start: bytes('2/'), end: bytes('2/~'), limit: 3 }))).toEqual([
        '2/1',
        '2/10',
        '2/11',
      ]);
      snapshot.release();
      snapshot.release();
      expect(Number(store.get(bytes('rounds')))).toBe(20);
    },
  );
}

function describeFlushes(on: On): void {
  on('keeps what was flushed, and whole transactions only, through a power cut', async ({ store, powerCut }) => {
    const writeRound = (round: number): void =>
      store.transaction((tx) => {
        tx.put(bytes('rounds'), bytes(String(round)));
        for (let i = 0; i < 20; i += 1) tx.put(bytes(`${round}/${i}`), Buffer.alloc(300, i));
      });
    for (let round = 1; round <= 5; round += 1) writeRound(round);
    await store.flush();
    for (let round = 6; round <= 9; round += 1) writeRound(round);
    const again = await powerCut();
    const rounds = Number(again.get(bytes('rounds')));
    expect(rounds).toBeGreaterThanOrEqual(5);
    expect(keysOf(again.range(everything))).toHaveLength(1 + rounds * 20);
  });

  on('flushes an empty store, and the same state twice', async ({ store }) => {
    await store.flush();
    fill(store, 'a');
    await Promise.all([store.flush(), store.flush()]);
    await store.flush();
    expect(keysOf(store.range(everything))).toEqual(['a']);
  });

  on('takes transactions while a flush is under way', async ({ store }) => {
    for (let round = 0; round < 20; round += 1) {
      fill(store, `before${round}`);
      const flushed = store.flush();
      fill(store, `during${round}`);
      await flushed;
    }
    expect(keysOf(store.range(everything))).toHaveLength(40);
  });

  on('refuses every call once closed', async ({ store }) => {
    fill(store, 'a');
    await store.close();
    expect(thrownBy(() => store.get(bytes('a')))).toBeDefined();
    expect(thrownBy(() => keysOf(store.range(everything)))).toBeDefined();
    expect(thrownBy(() => fill(store, 'b'))).toBeDefined();
    await expect(store.flush()).rejects.toBeDefined();
  });
}

/** A slow, obvious twin: the store against a map that is sorted at every look. */
async function playAgainstSortedMap(store: Store): Promise<void> {
  const model = new Map<string, string>();
  const below = xorshift(20_260_101);
  const randomKey = (): string =>
    String.fromCharCode(...Array.from({ length: 1 + below(3) }, () => [0, 1, 0x61, 0xff][below(4)] ?? 0));
  for (let round = 0; round < 1_000; round += 1) {
    const before = new Map(model);
    const aborts = below(8) === 0;
    const work = (): void =>
      store.transaction((tx) => {
        for (let i = below(6); i > 0; i -= 1) {
          const key = randomKey();
          if (below(3) === 0) {
            model.delete(key);
            tx.remove(bytes(key));
          } else {
            const value = `${round}.${i}`.repeat(below(40));
            model.set(key, value);
            tx.put(bytes(key), bytes(value));
          }
          compareWithMap(tx, model, [randomKey(), randomKey()], below);
        }
        if (aborts) throw new RangeError('aborted');
      });
    if (aborts) {
      expect(thrownBy(work)).toBeInstanceOf(RangeError);
      model.clear();
      for (const [key, value] of before) model.set(key, value);
    } else work();
    compareWithMap(store, model, [randomKey(), randomKey()], below);
    // Some flushes are waited for and some are under way while the next transactions run.
    const flushed = below(10) === 0 ? store.flush() : undefined;
    if (below(2) === 0) await flushed;
  }
  await store.flush();
  compareWithMap(store, model, ['', '\xff\xff\xff\xff'], () => 0);
}

function compareWithMap(
  reader: StoreReader,
  model: ReadonlyMap<string, string>,
  bounds: [string, string],
  below: (bound: number) => number,
): void {
  const [start, end] = [bytes(bounds[0]), bytes(bounds[1])];
  if (start.length > 0) expect(reader.get(start)?.toString('latin1')).toBe(model.get(bounds[0]));
  const inside = [...model].filter(
    ([key]) => compareBytes(start, bytes(key)) <= 0 && compareBytes(bytes(key), end) < 0,
  );
  inside.sort(([a], [b]) => compareBytes(bytes(a), bytes(b)));
  const reverse = below(2) === 1;
  if (reverse) inside.reverse();
  const limit = below(12) || 1_000;
  const found = Array.from(reader.range({ start, end, reverse, limit }), ({ key, value }) => [
    key.toString('latin1'),
    value.toString('latin1'),
  ]);
  expect(found).toEqual(inside.slice(0, limit));
}

/** Marsaglia, "Xorshift RNGs", 2003: chance enough for a test, the same on every run. */
function xorshift(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}

function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
}
