import { chunkChecksum } from './snapshot-chunk';

describe('chunkChecksum', () => {
  const key = Buffer.from('k');

  it('is the same for empty values wherever they lie in memory', () => {
    const fresh = Buffer.alloc(0);
    const held = Buffer.alloc(0);
    // Looking at its memory gives an empty buffer some: Node's crc32 then goes on from 0 instead of from what it was given.
    expect(held.buffer.byteLength).toBe(0);
    expect(chunkChecksum(key, [{ key, value: held }])).toBe(chunkChecksum(key, [{ key, value: fresh }]));
  });

  it('tells which bytes are of the key and which of the value', () => {
    const [ab, a, b, none] = ['ab', 'a', 'b', ''].map((text) => Buffer.from(text)) as [Buffer, Buffer, Buffer, Buffer];
    const sums = [
      [ab, none],
      [a, b],
      [none, ab],
    ].map(([first, second]) => chunkChecksum(none, [{ key: first as Buffer, value: second as Buffer }]));
    expect(new Set(sums).size).toBe(3);
  });
});
