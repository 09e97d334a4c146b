import { WORD_SEPARATORS } from '@synod/mapreduce';
import type { SplitOrder } from './orders';
import type { SnapshotReader } from './snapshot-reader';
import { readSplit } from './split-input';

const ROWS: readonly (readonly [string, string])[] = [
  ['p/a', 'one'],
  ['p/b', ''],
  ['p/c', 'two words'],
];

/** A store of a few rows that notes how it was asked. */
class StoreDouble implements SnapshotReader {
  readonly asked: string[] = [];

  async values(keys: readonly Buffer[], readTs: bigint): Promise<(Buffer | undefined)[]> {
    this.asked.push(`values ${keys.length} at ${readTs}`);
    return keys.map((key) => {
      const row = ROWS.find(([name]) => name === key.toString());
      return row === undefined ? undefined : Buffer.from(row[1]);
    });
  }

  async *rows({ start, end, readTs }: Parameters<SnapshotReader['rows']>[0]): ReturnType<SnapshotReader['rows']> {
    this.asked.push(`rows ${start.toString()}..${end.toString()} at ${readTs}`);
    for (const [key, value] of ROWS) yield { key: Buffer.from(key), value: Buffer.from(value) };
  }
}

async function read(store: StoreDouble, keys: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  const split: SplitOrder = {
    kind: 'store',
    readTs: 42n,
    start: Buffer.from('p/a'),
    end: Buffer.from('p0'),
    keys: keys.map((key) => Buffer.from(key)),
  };
  await readSplit(
    split,
    WORD_SEPARATORS,
    () => store,
    (document, chunk) => found.push(`${document.toString()}@${chunk.offset}: ${Buffer.from(chunk.bytes).toString()}`),
  );
  return found;
}

const EXPECTED = ['p/a@0: one', 'p/c@0: two words'];

describe('a split of the store', () => {
  it('is read as a range at its timestamp', async () => {
    const store = new StoreDouble();
    expect(await read(store, [])).toEqual(EXPECTED);
    expect(store.asked).toEqual(['rows p/a..p0 at 42']);
  });

  it('of few keys is read key by key', async () => {
    const store = new StoreDouble();
    expect(await read(store, ['p/a', 'p/b', 'p/c'])).toEqual(EXPECTED);
    expect(store.asked).toEqual(['values 3 at 42']);
  });

  it('that lost a key is damaged, not shorter', async () => {
    await expect(read(new StoreDouble(), ['p/a', 'p/x'])).rejects.toMatchObject({ kind: 'corrupt' });
  });
});
