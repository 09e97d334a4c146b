import { attemptId } from './ids';
import { escapeDocumentName } from './document-name';
import { parseGlob, type GlobSegment } from './glob';
import { hashKey, partitionOf } from './partition';
import { partName } from './part-name';

describe('hashKey', () => {
  // Part of the output contract: a change here moves keys between parts.
  it.each([
    ['', 0xab3e7c0b],
    ['a', 0x1a80b1b3],
    ['the', 0xc50749f8],
    ['漢字', 0x6f017935],
  ])('of %j never changes', (key, hash) => {
    expect(hashKey(Buffer.from(key))).toBe(hash);
  });

  it('hashes the part of a buffer that it is told', () => {
    expect(hashKey(Buffer.from('xxthexx'), 2, 5)).toBe(hashKey(Buffer.from('the')));
  });

  it('spreads keys evenly over partitions', () => {
    const counts = new Array<number>(8).fill(0);
    for (let key = 0; key < 8_000; key++) {
      const partition = partitionOf(hashKey(Buffer.from(`key-${key}`)), 8);
      counts[partition] = (counts[partition] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(150);
  });
});

describe('escapeDocumentName', () => {
  it('escapes tab, newline, comma and percent, and nothing else', () => {
    const name = Buffer.from('a\tb\nc,d%e f\r\u0000é');
    expect(Buffer.from(escapeDocumentName(name)).toString()).toBe('a%09b%0Ac%2Cd%25e f\r\u0000é');
  });
});

describe('names', () => {
  it('number parts and attempts so that they sort', () => {
    expect(partName(7)).toBe('part-00007');
    expect(attemptId('wc-1', 'map', 12, 3)).toBe('wc-1-m00012.3');
  });
});

describe('parseGlob', () => {
  /** Whether a path below the prefix is matched, by trying every alternative. */
  function matches(pattern: string, path: string): boolean {
    const follow = (segments: readonly GlobSegment[], names: readonly string[]): boolean => {
      const [segment, ...rest] = segments;
      const [name, ...deeper] = names;
      if (segment === undefined) return name === undefined;
      if (segment.kind === 'any-depth') {
        return follow(rest, names) || (name !== undefined && !name.startsWith('.') && follow(segments, deeper));
      }
      return name !== undefined && segment.matches(name) && follow(rest, deeper);
    };
    return parseGlob(pattern).alternatives.some((segments) => follow(segments, path.split('/')));
  }

  it.each([
    ['/data/**/*.md', '/data/'],
    ['/data/{a,b}/x', '/data/'],
    ['docs/2024/[0-9]*', 'docs/2024/'],
    ['*.txt', ''],
    ['/*.txt', '/'],
  ])('takes the leading fixed folders of %s as prefix', (pattern, prefix) => {
    expect(parseGlob(pattern)).toMatchObject({ prefix, plain: false });
  });

  it('takes a pattern without special characters as a path', () => {
    expect(parseGlob('/data/a.txt')).toMatchObject({ prefix: '/data/', plain: true });
    expect(matches('/data/a.txt', 'a.txt')).toBe(true);
  });

  it.each([
    ['*.md', 'a.md', true],
    ['*.md', 'a.mdx', false],
    ['*.md', '.a.md', false],
    ['.*', '.a', true],
    ['*', 'a/b', false],
    ['**/*.md', 'a.md', true],
    ['**/*.md', 'a/b/c.md', true],
    ['**/*.md', 'a/.git/c.md', false],
    ['**', 'a/b', true],
    ['[a]/**/z', 'a/z', true],
    ['[a]/**/z', 'b/z', false],
    ['?.txt', 'é.txt', true],
    ['?.txt', '😀.txt', true],
    ['[a-c]x', 'bx', true],
    ['[!a-c]x', 'bx', false],
    ['[]x]', ']', true],
    ['[', '[', true],
    ['a.c*', 'abc', false],
    ['{a,b/{c,d}}.md', 'b/d.md', true],
    ['{a,b/{c,d}}.md', 'b/e.md', false],
    ['{README,LICENSE}*', 'LICENSE-MIT', true],
    ['{a}*', '{a}x', true],
    ['\\*', '*', true],
    ['\\*', 'a', false],
  ])('%s against %s: %s', (pattern, path, expected) => {
    expect(matches(pattern, path)).toBe(expected);
  });
});
