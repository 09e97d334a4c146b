import { crc32 } from './crc32';

describe('crc32', () => {
  it('is the standard one', () => {
    expect(crc32(Buffer.from('123456789')).toString(16)).toBe('cbf43926');
    expect(crc32(Buffer.from('6789'), crc32(Buffer.from('12345'))).toString(16)).toBe('cbf43926');
  });

  // Node's own forgets what came before, for some empty buffers and not for others.
  it('goes on from what came before if there is nothing more, wherever in memory the nothing lies', () => {
    const view = Buffer.from('abc').subarray(1, 1);
    const looked = Buffer.alloc(0);
    expect(looked.buffer.byteLength).toBe(0);
    for (const nothing of [Buffer.alloc(0), new Uint8Array(0), view, looked, Buffer.from('')]) {
      expect(crc32(nothing, 0x1234)).toBe(0x1234);
    }
  });
});
