import type { Codec, Protocol } from '@synod/runtime';

/** Size of every message that is echoed, in bytes. */
export const MESSAGE_BYTES = 100;

/** Messages of one size behind each other: the kit is measured, not a codec. */
const fixedSize: Codec<Buffer> = {
  encode: (batch) => Buffer.concat(batch),
  decode: (bytes) => {
    const messages: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += MESSAGE_BYTES) {
      messages.push(Buffer.from(bytes.buffer, bytes.byteOffset + at, MESSAGE_BYTES));
    }
    return messages;
  },
};

export const echoProtocol: Protocol<Buffer, Buffer> = {
  name: '/synod.bench.Echo/Exchange',
  up: fixedSize,
  down: fixedSize,
};

/** The method that sends back each gRPC message by itself. */
export const SINGLE_MESSAGES = '/synod.bench.Echo/Single';
