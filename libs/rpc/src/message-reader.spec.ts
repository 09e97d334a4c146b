import { status } from '@grpc/grpc-js';
import { framed, MessageReader } from './message-reader';

const BYTES_MAX = 10_000;

function push(reader: MessageReader, chunk: Buffer): string[] {
  const messages: string[] = [];
  reader.push(chunk, (message) => messages.push(message.toString()));
  return messages;
}

describe('MessageReader', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 100])('finds the same messages in chunks of %i bytes', (size) => {
    const messages = ['', 'a', 'second', 'x'.repeat(300), ''];
    const stream = Buffer.concat(messages.map((message) => framed(Buffer.from(message))));
    const reader = new MessageReader(BYTES_MAX, 'identity');
    const found: string[] = [];
    for (let at = 0; at < stream.length; at += size) found.push(...push(reader, stream.subarray(at, at + size)));
    expect(found).toEqual(messages);
  });

  it.each([
    [0, false],
    [3, true],
    [5, true],
    [6, true],
    [8, false],
    [9, true],
  ])('knows whether %i bytes end in the midst of a message', (bytes, partial) => {
    const message = framed(Buffer.from('abc'));
    const reader = new MessageReader(BYTES_MAX, 'identity');
    push(reader, Buffer.concat([message, message]).subarray(0, bytes));
    expect(reader.partial).toBe(partial);
  });

  it('refuses a message by what its header announces, before the rest has come', () => {
    const reader = new MessageReader(BYTES_MAX, 'identity');
    expect(push(reader, framed(Buffer.alloc(BYTES_MAX)))).toHaveLength(1);
    const header = framed(Buffer.alloc(BYTES_MAX + 1)).subarray(0, 5);
    expect(push(reader, header.subarray(0, 4))).toEqual([]);
    expect(() => push(reader, header.subarray(4))).toThrow(
      expect.objectContaining({
        code: status.RESOURCE_EXHAUSTED,
        details: expect.stringMatching(/10001 vs. 10000/) as string,
      }) as Error,
    );
  });

  // doc/compression.md: an encoding that the server does not know is UNIMPLEMENTED, a flag without an encoding is INTERNAL.
  it.each([
    ['gzip', status.UNIMPLEMENTED, 'grpc: Decompressor is not installed for grpc-encoding "gzip"'],
    ['identity', status.INTERNAL, 'grpc: compressed flag set with identity or empty encoding'],
  ])('refuses a compressed message of encoding %s', (encoding, code, details) => {
    const message = framed(Buffer.from('squeezed'));
    message[0] = 1;
    expect(() => push(new MessageReader(BYTES_MAX, encoding), message)).toThrow(
      expect.objectContaining({ code, details }) as Error,
    );
  });
});
