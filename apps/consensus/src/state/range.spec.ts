import { StateBench, get, under } from '../testing/state-bench';
import { rangeRequest } from './requests';

/** Revisions 2 to 6: a, b, c, then b and a again. */
function filled(): StateBench {
  const bench = new StateBench();
  bench.put('a', '3');
  bench.put('b', '1');
  bench.put('c', '2');
  bench.put('b', '0');
  bench.put('a', '9');
  return bench;
}

describe('a range', () => {
  it('of an empty store is empty, at revision 1', () => {
    expect(new StateBench().range(under(''))).toEqual({
      kind: 'range',
      revision: 1n,
      entries: [],
      more: false,
      count: 0n,
    });
  });

  it('returns a key with where its life began, its last change and how often it was put', () => {
    expect(filled().range(get('b'))).toMatchObject({
      revision: 6n,
      count: 1n,
      entries: [
        { key: Buffer.from('b'), value: Buffer.from('0'), createRevision: 3n, modRevision: 5n, version: 2n, lease: 0n },
      ],
    });
  });

  it('takes one key, a half-open range, a prefix, or everything from a key on', () => {
    const bench = filled();
    bench.put('b/x', 'x');
    expect(bench.list('b')).toEqual(['b=0', 'b/x=x']);
    const ends = (end: string): string[] => {
      const result = bench.range(rangeRequest(Buffer.from('b'), Buffer.from(end)));
      return result.kind === 'range' ? result.entries.map(({ key }) => key.toString()) : [];
    };
    expect(ends('')).toEqual(['b']);
    expect(ends('c')).toEqual(['b', 'b/x']);
    expect(ends('\0')).toEqual(['b', 'b/x', 'c']);
    expect(ends('a')).toEqual([]);
  });

  it('counts the whole span whatever the limit, and says that there is more', () => {
    expect(filled().range(under('', { limit: 2n }))).toMatchObject({ more: true, count: 3n });
    expect(filled().range(under('', { limit: 3n }))).toMatchObject({ more: false, count: 3n });
    expect(filled().range(under('', { countOnly: true }))).toMatchObject({ entries: [], more: false, count: 3n });
  });

  it('sorts before it cuts at the limit', () => {
    const bench = filled();
    expect(bench.list('', { sortOrder: 'descend', limit: 1n })).toEqual(['c=2']);
    expect(bench.list('', { sortOrder: 'ascend', sortTarget: 'value' })).toEqual(['b=0', 'c=2', 'a=9']);
    expect(bench.list('', { sortOrder: 'descend', sortTarget: 'version', limit: 2n })).toEqual(['a=9', 'b=0']);
    // A target without an order means ascending.
    expect(bench.list('', { sortTarget: 'mod', limit: 2n })).toEqual(['c=2', 'b=0']);
    expect(bench.list('', { sortTarget: 'create', sortOrder: 'descend' })).toEqual(['c=2', 'b=0', 'a=9']);
  });

  it('filters by revision before it cuts at the limit, and counts without the filter', () => {
    const bench = filled();
    expect(bench.list('', { minModRevision: 5n })).toEqual(['a=9', 'b=0']);
    expect(bench.list('', { maxModRevision: 5n, limit: 1n })).toEqual(['b=0']);
    expect(bench.list('', { minCreateRevision: 3n, maxCreateRevision: 3n })).toEqual(['b=0']);
    expect(bench.range(under('', { minModRevision: 6n, limit: 1n }))).toMatchObject({ count: 3n, more: false });
  });

  it('leaves values out when only keys are wanted, even when it sorted by them', () => {
    const options = { keysOnly: true, sortTarget: 'value', sortOrder: 'descend' } as const;
    expect(filled().list('', options)).toEqual(['a=', 'c=', 'b=']);
  });

  it('reads any past revision as it was, under the present revision in the answer', () => {
    const bench = filled();
    bench.remove('a');
    bench.put('a', 'new life');
    expect(bench.list('', { revision: 1n })).toEqual([]);
    expect(bench.list('', { revision: 3n })).toEqual(['a=3', 'b=1']);
    expect(bench.list('', { revision: 6n })).toEqual(['a=9', 'b=0', 'c=2']);
    expect(bench.list('', { revision: 7n })).toEqual(['b=0', 'c=2']);
    expect(bench.range(get('a', { revision: 4n }))).toMatchObject({ revision: 8n, entries: [{ version: 1n }] });
    expect(bench.range(get('a'))).toMatchObject({ entries: [{ version: 1n, createRevision: 8n }] });
  });

  it('refuses a revision that does not exist yet', () => {
    expect(filled().range(get('a', { revision: 7n }))).toEqual({ kind: 'refused', error: 'future-revision' });
  });
});
