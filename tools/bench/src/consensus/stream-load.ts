import { connect, constants } from 'node:http2';
import { serviceDefinition } from '@synod/contracts';
import type { Sample } from '../measure';
import { framed, VALUE_BYTES } from './calls';

const { path, requestSerialize } = serviceDefinition('synod.consensus.v1.KvStream').Exchange;
const PREFIX_BYTES = 5;
/** Field and wire type, as protobuf writes them: `responses`, and in one of them `id` and `error`. */
const RESPONSES = (1 << 3) | 2;
const ID = 1 << 3;
const ERROR = (6 << 3) | 2;

/**
 * Keeps `inflight` puts going on one stream of a member: whatever one message answered is asked anew in one message. On bare HTTP/2 with
 * requests encoded before, and answers looked at no more than it takes to tell which put each is of, and that none is an error.
 */
export async function streamLoad(address: string, inflight: number, seconds: number): Promise<Sample> {
  const value = Buffer.alloc(VALUE_BYTES, 'v');
  const key = Buffer.from('bench');
  // Messages of one repeated field are joined by joining their bytes.
  const requests = Array.from({ length: inflight + 1 }, (_, id) =>
    requestSerialize({ requests: [{ id, put: { key, value } }] }),
  );
  const askedAt = new Float64Array(inflight + 1);
  const latenciesMs: number[] = [];
  const session = connect(`http://${address}`);
  try {
    const startedAt = performance.now();
    const endsAt = startedAt + seconds * 1000;
    await new Promise<void>((resolve, reject) => {
      session.on('error', reject);
      const stream = session.request({
        [constants.HTTP2_HEADER_METHOD]: 'POST',
        [constants.HTTP2_HEADER_PATH]: path,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      const ask = (ids: readonly number[]): void => {
        const now = performance.now();
        for (const id of ids) askedAt[id] = now;
        stream.write(framed(Buffer.concat(ids.map((id) => requests[id] ?? Buffer.alloc(0)))));
      };
      let left = inflight;
      let rest: Buffer = Buffer.alloc(0);
      stream.on('data', (chunk: Buffer) => {
        rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
        const again: number[] = [];
        const now = performance.now();
        for (;;) {
          const end = rest.length < PREFIX_BYTES ? Infinity : PREFIX_BYTES + rest.readUInt32BE(1);
          if (rest.length < end) break;
          for (const id of answeredIds(rest.subarray(PREFIX_BYTES, end))) {
            latenciesMs.push(now - (askedAt[id] ?? now));
            again.push(id);
          }
          rest = rest.subarray(end);
        }
        if (now < endsAt) {
          if (again.length > 0) ask(again);
        } else if ((left -= again.length) === 0) stream.end();
      });
      stream.on('trailers', (trailers: Record<string, unknown>) => {
        if (trailers['grpc-status'] === '0') resolve();
        else reject(new Error(`${path} ended with ${JSON.stringify(trailers)}`));
      });
      stream.on('error', reject);
      stream.on('response', (headers) => {
        if (headers['grpc-status'] !== undefined) reject(new Error(`${path}: ${String(headers['grpc-message'])}`));
      });
      ask(Array.from({ length: inflight }, (_, index) => index + 1));
    });
    return { operations: latenciesMs.length, seconds: (performance.now() - startedAt) / 1000, latenciesMs };
  } finally {
    session.destroy();
  }
}

/**
 * Which requests a message answers.
 * @throws {Error} if one of them failed: a figure with errors in it is none
 */
function answeredIds(message: Buffer): number[] {
  const ids: number[] = [];
  for (let offset = 0; offset < message.length;) {
    if (message[offset] !== RESPONSES) throw new Error('the stream brought what is no batch of answers');
    const [length, start] = varint(message, offset + 1);
    const [id, outcome] = message[start] === ID ? varint(message, start + 1) : [0, start];
    if (message[outcome] === ERROR)
      throw new Error(`a put failed: ${message.toString('latin1', outcome, start + length)}`);
    ids.push(id);
    offset = start + length;
  }
  return ids;
}

/** @returns the number, and where what follows it begins */
function varint(bytes: Buffer, at: number): [value: number, next: number] {
  let value = 0;
  let factor = 1;
  for (let offset = at; ; offset++) {
    const byte = bytes[offset] ?? 0;
    value += (byte & 0x7f) * factor;
    factor *= 128;
    if (byte < 0x80) return [value, offset + 1];
  }
}
