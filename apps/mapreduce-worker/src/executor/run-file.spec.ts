import { mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MergedPairs } from './merge';
import { PairBuffer, readCount } from './pair-buffer';
import type { PairCursor } from './pairs';
import { checkRun, fileRun, memoryRun, RunWriter } from './run-file';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'synod-run-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(pairs: readonly (readonly [string, string])[], name = 'a.run'): { file: string; end: number } {
  const file = path.join(folder, name);
  const writer = RunWriter.create(file);
  for (const [key, value] of pairs) writer.add(Buffer.from(key), Buffer.from(value));
  const end = writer.endPartition();
  writer.close();
  return { file, end };
}

function read(cursor: PairCursor): [string, string][] {
  const pairs: [string, string][] = [];
  while (cursor.advance()) {
    const { bytes, keyStart, keyEnd, valueStart, valueEnd } = cursor;
    pairs.push([bytes.toString('utf8', keyStart, keyEnd), bytes.toString('utf8', valueStart, valueEnd)]);
  }
  return pairs;
}

const PAIRS: [string, string][] = [
  ['', ''],
  ['a', 'x'.repeat(300)],
  ['k'.repeat(1_000_000), 'large'],
  ...Array.from({ length: 20_000 }, (_, at): [string, string] => [`n${String(at).padStart(6, '0')}`, `${at}`]),
];

describe('a run', () => {
  it('reads back from memory and from a file, whatever the size of keys and values', () => {
    const { file, end } = write(PAIRS);
    const bytes = readFileSync(file);
    expect(bytes.length).toBe(end);
    checkRun(bytes, 'here');
    expect(read(memoryRun(bytes))).toEqual(PAIRS);
    const handle = openSync(file, 'r');
    expect(read(fileRun(handle, file, 0, end))).toEqual(PAIRS);
    closeSync(handle);
  });

  it('of nothing is empty', () => {
    expect(write([]).end).toBe(0);
    expect(read(memoryRun(Buffer.alloc(0)))).toEqual([]);
  });

  it('tells any changed byte and any cut', () => {
    const { file } = write([
      ['key', 'value'],
      ['key2', 'value'],
    ]);
    const bytes = readFileSync(file);
    for (let at = 0; at < bytes.length; at++) {
      if (at >= 1 && at < 4) continue; // Reserved.
      if (at >= 8 && at < 12) continue; // The number of pairs is for people.
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] as number) ^ 0x10;
      expect(() => checkRun(damaged, 'm.1 from w1')).toThrow(/^m\.1 from w1: /);
      if (at > 0) expect(() => checkRun(bytes.subarray(0, at), 'cut')).toThrow(/cut off/);
    }
  });

  it('in a file that was damaged or cut is refused while it is read, naming the file', () => {
    const { file, end } = write([['key', 'value']]);
    const bytes = readFileSync(file);
    for (const damaged of [
      Buffer.concat([bytes.subarray(0, 20), Buffer.of(0), bytes.subarray(21)]),
      bytes.subarray(0, 18),
    ]) {
      writeFileSync(file, damaged);
      const handle = openSync(file, 'r');
      expect(() => read(fileRun(handle, file, 0, end))).toThrow(file);
      closeSync(handle);
    }
  });
});

describe('MergedPairs', () => {
  it('is in order of keys, then values, with every pair of every source', () => {
    const runs = [3, 1, 5, 0, 2].map((many, run) => {
      const pairs = Array.from({ length: many * 10 }, (_, at): [string, string] => [
        `k${String((at * 3) % 40).padStart(2, '0')}`,
        `${run}-${at}`,
      ]);
      pairs.sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : 1));
      return pairs;
    });
    const merged = read(
      new MergedPairs(runs.map((pairs, at) => memoryRun(readFileSync(write(pairs, `${at}.run`).file)))),
    );
    const expected = runs.flat().sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : 1));
    expect(merged).toEqual(expected);
  });
});

describe('PairBuffer', () => {
  it('sorts keys as unsigned bytes, a prefix first', () => {
    const keys = ['b', 'a', 'ab', '', 'a\0', '\x7f', 'aaaaa', 'aaaa', 'aaaab']
      .map((key) => Buffer.from(key))
      .concat(Buffer.from([0xff]), Buffer.from([0x80]));
    const buffer = new PairBuffer(1, 'all', 1024);
    for (const key of keys) expect(buffer.add(key, 0, key.length, Buffer.alloc(0))).toBe(true);
    const [cursor] = buffer.sorted();
    const sorted: string[] = [];
    while (cursor?.advance() === true) sorted.push(cursor.bytes.toString('latin1', cursor.keyStart, cursor.keyEnd));
    expect(sorted).toEqual(keys.sort((a, b) => a.compare(b)).map((key) => key.toString('latin1')));
  });

  it('adds counts beyond 32 bits', () => {
    const buffer = new PairBuffer(1, 'count', 1024);
    const key = Buffer.from('k');
    for (let at = 0; at < 3; at++) buffer.addCount(key, 0, 1, 2 ** 32 + 7);
    const [cursor] = buffer.sorted();
    expect(cursor?.advance()).toBe(true);
    expect(readCount(cursor!.bytes, cursor!.valueStart)).toBe(3 * (2 ** 32 + 7));
  });

  it('says when it is full, and takes a pair larger than itself when empty', () => {
    const buffer = new PairBuffer(1, 'all', 16);
    const key = Buffer.alloc(10, 1);
    expect(buffer.add(key, 0, 10, Buffer.alloc(0))).toBe(true);
    expect(buffer.add(key, 0, 10, Buffer.alloc(0))).toBe(false);
    buffer.clear();
    expect(buffer.add(key, 0, 10, Buffer.alloc(1_000))).toBe(true);
  });
});
