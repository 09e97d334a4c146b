import { SynodError } from '@synod/runtime';

/** One fact to find again after a restart. The log knows bytes only; what they mean is the host's. */
export interface WalRecord {
  /** 0 to 255, given its meaning once and for ever by the host. */
  readonly kind: number;
  /** The Paxos group it belongs to; at most 255 bytes of UTF-8. */
  readonly group: string;
  readonly payload: Uint8Array;
}

/** A record as replayed. The payload is a view into a larger buffer: copy it if it is to stay for long. */
export interface ReplayedRecord extends WalRecord {
  readonly payload: Buffer;
}

/** kind u8, group size u8, payload size u32; then group and payload. Integers are big-endian throughout the log. */
const PREFIX_BYTES = 6;
const PAYLOAD_BYTES_MAX = 1 << 30;

/**
 * The bytes that a record takes.
 * @throws {SynodError} `invalid-argument` if it does not fit the format
 */
export function recordBytes({ kind, group, payload }: WalRecord): number {
  const groupBytes = Buffer.byteLength(group);
  if (!Number.isInteger(kind) || kind < 0 || kind > 255 || groupBytes > 255 || payload.length > PAYLOAD_BYTES_MAX) {
    const what = `kind ${kind}, ${groupBytes} bytes of group, ${payload.length} bytes of payload`;
    throw new SynodError('invalid-argument', `not a log record: ${what}`);
  }
  return PREFIX_BYTES + groupBytes + payload.length;
}

/** Writes a record that `recordBytes` has measured; returns the offset behind it. */
export function writeRecord(record: WalRecord, into: Buffer, at: number): number {
  const { kind, group, payload } = record;
  const groupBytes = into.write(group, at + PREFIX_BYTES);
  into[at] = kind;
  into[at + 1] = groupBytes;
  into.writeUInt32BE(payload.length, at + 2);
  into.set(payload, at + PREFIX_BYTES + groupBytes);
  return at + PREFIX_BYTES + groupBytes + payload.length;
}

/** The records of a batch whose checksum holds. */
export function* readRecords(body: Buffer): Generator<ReplayedRecord> {
  for (let at = 0; at < body.length;) {
    const kind = body.readUInt8(at);
    const groupEnd = at + PREFIX_BYTES + body.readUInt8(at + 1);
    const payloadEnd = groupEnd + body.readUInt32BE(at + 2);
    const group = body.toString('utf8', at + PREFIX_BYTES, groupEnd);
    yield { kind, group, payload: body.subarray(groupEnd, payloadEnd) };
    at = payloadEnd;
  }
}
