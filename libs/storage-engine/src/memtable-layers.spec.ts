import { describeStore } from '@synod/runtime';
import { LmdbStore } from './index';
import { settle, SlowBase } from './testing/slow-base';

const bytes = (text: string): Buffer => Buffer.from(text);
const everything = { start: bytes(''), end: bytes('~') };

function put(store: LmdbStore, key: string, value: string | undefined): void {
  store.transaction((tx) => (value === undefined ? tx.remove(bytes(key)) : tx.put(bytes(key), bytes(value))));
}

function content(store: LmdbStore): string {
  return Array.from(store.range(everything), ({ key, value }) => `${key.toString()}=${value.toString()}`).join(' ');
}

describeStore('Memtables over a base in memory', async (scenario) => {
  const base = new SlowBase(() => false);
  const store = new LmdbStore(base);
  const powerCut = async (): Promise<LmdbStore> => {
    await store.close();
    return new LmdbStore(base);
  };
  await scenario({ store, powerCut });
});

describe('A store whose base is slow', () => {
  it('shows every transaction at once, through any number of tables, and each flush resolves in turn', async () => {
    const base = new SlowBase(() => true);
    const store = new LmdbStore(base);
    const flushed: number[] = [];
    for (let i = 0; i < 6; i += 1) {
      put(store, 'n', `${i}`);
      put(store, `k${i}`, 'v');
      put(store, `k${i - 1}`, i % 2 === 0 ? undefined : 'again');
      void store.flush().then(() => flushed.push(i));
      expect(store.get(bytes('n'))).toEqual(bytes(`${i}`));
      await settle();
    }
    const shown = 'k0=again k2=again k4=again k5=v n=5';
    expect(content(store)).toBe(shown);
    expect(base.entries.size).toBe(0);
    await base.release();
    expect(flushed).toEqual([0]);
    expect(content(store)).toBe(shown);
    await base.release(); // The tables that queued up behind the first go together, four at most.
    expect(flushed).toEqual([0, 1, 2, 3, 4]);
    await base.release();
    expect(flushed).toEqual([0, 1, 2, 3, 4, 5]);
    expect(base.writes).toEqual([1, 4, 1]);
    expect(content(store)).toBe(shown);
    expect(store.pendingBytes).toBe(0);
  });

  it('hands a table over when it is large, without being asked to flush', async () => {
    const base = new SlowBase(() => true);
    const store = new LmdbStore(base);
    store.transaction((tx) => tx.put(bytes('large'), Buffer.alloc(2 << 20)));
    put(store, 'small', 'v');
    await base.release();
    expect([...base.entries.keys()]).toEqual(['large']);
    expect(store.get(bytes('large'))).toHaveLength(2 << 20);
    expect(store.pendingBytes).toBeLessThan(1_000);
  });

  it('flushes nothing twice, and waits for what is under way', async () => {
    const base = new SlowBase(() => true);
    const store = new LmdbStore(base);
    await store.flush();
    put(store, 'a', '1');
    const flushes = [store.flush(), store.flush()];
    await base.release();
    await Promise.all(flushes);
    await store.flush();
    expect(base.writes).toEqual([1]);
  });

  it('keeps nothing of a transaction that throws, whatever lies below', async () => {
    const base = new SlowBase(() => true);
    const store = new LmdbStore(base);
    put(store, 'sealed', '1');
    void store.flush();
    put(store, 'active', '1');
    const pending = store.pendingBytes;
    const work = (): void =>
      store.transaction((tx) => {
        for (const key of ['sealed', 'active', 'new']) {
          tx.put(bytes(key), bytes('2'));
          tx.remove(bytes(key));
          tx.put(bytes(key), bytes('3'));
        }
        throw new Error('no');
      });
    expect(work).toThrow('no');
    expect(content(store)).toBe('active=1 sealed=1');
    expect(store.pendingBytes).toBe(pending);
    await base.release();
    expect(content(store)).toBe('active=1 sealed=1');
  });
});

describe('A store whose base fails', () => {
  it('says so to every flush and every later call', async () => {
    const base = new SlowBase(() => true);
    const store = new LmdbStore(base);
    const failure = expect.objectContaining({
      kind: 'outcome-unknown',
      message: expect.stringContaining('EIO') as string,
    }) as Error;
    put(store, 'a', '1');
    const first = store.flush().catch((error: unknown) => error);
    await settle();
    put(store, 'b', '1');
    const second = store.flush().catch((error: unknown) => error);
    await base.failWrite(new Error('EIO'));
    expect(await first).toEqual(failure);
    expect(await second).toEqual(failure);
    expect(base.writes).toEqual([1]);
    await expect(store.flush()).rejects.toEqual(failure);
    expect(() => store.get(bytes('a'))).toThrow('EIO');
    expect(() => put(store, 'c', '1')).toThrow('EIO');
    await expect(store.close()).rejects.toEqual(failure);
  });
});
