import {
  KEY_BYTES_MAX,
  TRANSACTION_BYTES_MAX,
  TRANSACTION_KEYS_MAX,
  VALUE_BYTES_MAX,
  type TxnAttempt,
  type TxnHandle,
} from '@synod/protocols';
import { SynodError } from '@synod/runtime';

export const SCAN_ROWS_MAX = 10_000;

const TXN_ID = /^[0-9a-f]{32}$/;
/** Shards and attempts as they fit in rows. */
const SHARD_MAX = 0xffff;
const ATTEMPT_MAX = 0xffff_ffff;
const TIMESTAMP_MAX = 0x7fff_ffff_ffff_ffffn;

/** @throws {SynodError} `invalid-argument`, naming the field; so do all checks here */
export function checkKey(key: Uint8Array, field: string): void {
  if (key.length === 0) throw invalid(`${field} is empty: keys are 1 to ${KEY_BYTES_MAX} bytes`);
  if (key.length > KEY_BYTES_MAX) throw invalid(`${field} has ${key.length} bytes: keys are 1 to ${KEY_BYTES_MAX}`);
}

export function checkValue(value: Uint8Array | undefined, field: string): void {
  if (value !== undefined && value.length > VALUE_BYTES_MAX) {
    throw invalid(`${field} has ${value.length} bytes: values are at most ${VALUE_BYTES_MAX}`);
  }
}

export function checkTimestamp(ts: bigint, field: string): void {
  if (ts < 0n || ts > TIMESTAMP_MAX) throw invalid(`${field} is ${ts}: not a timestamp`);
}

export function checkHandle({ id, anchor }: TxnHandle): void {
  if (!TXN_ID.test(id)) throw invalid('txn.id is not 32 lower-case hex digits');
  if (!Number.isInteger(anchor) || anchor < 0 || anchor > SHARD_MAX)
    throw invalid(`txn.anchor is ${anchor}: not a shard`);
}

export function checkAttemptNumber(attempt: number, field: string): void {
  if (!Number.isInteger(attempt) || attempt < 1 || attempt > ATTEMPT_MAX) {
    throw invalid(`${field} is ${attempt}: attempts count from 1`);
  }
}

interface Transaction {
  readonly attempt: TxnAttempt;
  readonly reads: readonly { readonly key: Buffer; readonly version: bigint }[];
  readonly writes: readonly { readonly key: Buffer; readonly value: Buffer | undefined }[];
}

export function checkTransaction({ attempt, reads, writes }: Transaction): void {
  checkHandle(attempt.txn);
  checkAttemptNumber(attempt.attempt, 'attempt.attempt');
  checkTimestamp(attempt.priority, 'attempt.priority');
  if (reads.length + writes.length > TRANSACTION_KEYS_MAX) {
    throw invalid(
      `reads and writes name ${reads.length + writes.length} keys: a transaction has at most ${TRANSACTION_KEYS_MAX}`,
    );
  }
  let bytes = 0;
  reads.forEach(({ key, version }, index) => {
    checkKey(key, `reads[${index}].key`);
    checkTimestamp(version, `reads[${index}].version`);
    bytes += key.length;
  });
  const written = new Set<string>();
  writes.forEach(({ key, value }, index) => {
    checkKey(key, `writes[${index}].key`);
    checkValue(value, `writes[${index}].value`);
    const text = key.toString('latin1');
    if (written.has(text)) throw invalid(`writes[${index}].key is written twice`);
    written.add(text);
    bytes += key.length + (value?.length ?? 0);
  });
  if (bytes > TRANSACTION_BYTES_MAX) {
    throw invalid(`reads and writes have ${bytes} bytes: a transaction has at most ${TRANSACTION_BYTES_MAX}`);
  }
}

export function invalid(message: string): SynodError {
  return new SynodError('invalid-argument', message);
}
