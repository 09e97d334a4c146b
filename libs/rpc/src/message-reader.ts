import { status } from '@grpc/grpc-js';
import { StatusError } from './error-table';

/** Before each message: whether it is compressed, u8, and its size, u32 big-endian. */
export const MESSAGE_HEADER_BYTES = 5;

/**
 * Puts the messages of a call together from the chunks of its stream.
 * Source: "gRPC over HTTP2" (doc/PROTOCOL-HTTP2.md), Length-Prefixed-Message. Differs in that no compression is spoken. What is refused is
 * so in the words of grpc-go, which its clients may look for.
 */
export class MessageReader {
  /** What has come of a message that is not whole; mostly a chunk holds a whole one. */
  private chunks: Buffer[] | undefined;
  private bytes = 0;
  /** What the message at hand takes with its header, or the header alone while that is not complete. */
  private wanted = MESSAGE_HEADER_BYTES;

  constructor(
    private readonly messageBytesMax: number,
    /** `grpc-encoding` of the call. */
    private readonly encoding: string,
  ) {}

  /** A message has begun and is not whole. */
  get partial(): boolean {
    return this.chunks !== undefined;
  }

  /**
   * @param take is given the messages that are complete now; where a chunk holds a whole one, a view of it
   * @throws {StatusError} if a message is too large, or compressed
   */
  push(chunk: Buffer, take: (message: Buffer) => void): void {
    let bytes = chunk;
    if (this.chunks !== undefined) {
      this.chunks.push(chunk);
      this.bytes += chunk.length;
      // Joined only once there is enough: a large message comes in a thousand chunks.
      if (this.bytes < this.wanted) return;
      bytes = Buffer.concat(this.chunks, this.bytes);
      this.chunks = undefined;
    }
    let at = 0;
    for (; at < bytes.length; at += this.wanted) {
      this.wanted = this.sizeOf(bytes, at);
      if (bytes.length - at < this.wanted) break;
      take(bytes.subarray(at + MESSAGE_HEADER_BYTES, at + this.wanted));
    }
    if (at >= bytes.length) return;
    this.chunks = [at === 0 ? bytes : bytes.subarray(at)];
    this.bytes = bytes.length - at;
  }

  private sizeOf(bytes: Buffer, at: number): number {
    if (bytes.length - at < MESSAGE_HEADER_BYTES) return MESSAGE_HEADER_BYTES;
    if (bytes[at] !== 0) throw this.compressed();
    const size = bytes.readUInt32BE(at + 1);
    if (size > this.messageBytesMax) {
      const details = `grpc: received message larger than max (${size} vs. ${this.messageBytesMax})`;
      throw new StatusError(status.RESOURCE_EXHAUSTED, details);
    }
    return MESSAGE_HEADER_BYTES + size;
  }

  /** As doc/compression.md has it. */
  private compressed(): StatusError {
    if (this.encoding === 'identity')
      return new StatusError(status.INTERNAL, 'grpc: compressed flag set with identity or empty encoding');
    const details = `grpc: Decompressor is not installed for grpc-encoding ${JSON.stringify(this.encoding)}`;
    return new StatusError(status.UNIMPLEMENTED, details);
  }
}

/** A message as it goes on the wire. */
export function framed(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(MESSAGE_HEADER_BYTES + message.length);
  bytes[0] = 0;
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, MESSAGE_HEADER_BYTES);
  return bytes;
}
