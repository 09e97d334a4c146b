import { KEY_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_KEYS_MAX, VALUE_BYTES_MAX } from '@synod/client';
import type { ReadVersion, TxnAttempt, TxnHandle, Write } from '@synod/protocols';
import { SynodError } from '@synod/runtime';

/**
 * Refuses what no shard would take, before any shard holds a part of it.
 * @throws {SynodError} `invalid-argument`, naming the field
 */
export function checkCommit(
  { attempt, reads, writes }: { attempt: TxnAttempt; reads: readonly ReadVersion[]; writes: readonly Write[] },
  shardCount: number,
): void {
  checkHandle(attempt.txn, shardCount);
  checkAttempt(attempt.attempt);
  if (attempt.priority <= 0n) throw invalid('priority is 0: it is the first read timestamp of the transaction');
  if (writes.length === 0) throw invalid('writes are empty: a transaction that only read is not committed');
  const keyCount = reads.length + writes.length;
  if (keyCount > TRANSACTION_KEYS_MAX) {
    throw invalid(`the transaction names ${keyCount} keys: at most ${TRANSACTION_KEYS_MAX}`);
  }
  checkDistinct(reads, 'reads');
  checkDistinct(writes, 'writes');
  let bytes = 0;
  for (const { key } of reads) bytes += key.length;
  for (const { key, value } of writes) {
    if (value !== undefined && value.length > VALUE_BYTES_MAX) {
      throw invalid(`a value has ${value.length} bytes: values are at most ${VALUE_BYTES_MAX}`);
    }
    bytes += key.length + (value?.length ?? 0);
  }
  if (bytes > TRANSACTION_BYTES_MAX) {
    throw invalid(`the transaction has ${bytes} bytes: at most ${TRANSACTION_BYTES_MAX}`);
  }
}

/** @throws {SynodError} `invalid-argument` */
export function checkHandle({ id, anchor }: TxnHandle, shardCount: number): void {
  if (!/^[0-9a-f]{32}$/.test(id)) throw invalid('the transaction id is not 32 lower-case hex digits');
  if (!Number.isInteger(anchor) || anchor < 0 || anchor >= shardCount) {
    throw invalid(`the anchor is ${anchor}: shards are 0 to ${shardCount - 1}`);
  }
}

/** @throws {SynodError} `invalid-argument` */
export function checkAttempt(attempt: number): void {
  if (!Number.isInteger(attempt) || attempt < 1) throw invalid(`the attempt is ${attempt}: attempts count from 1`);
}

function checkDistinct(items: readonly { readonly key: Buffer }[], field: string): void {
  const seen = new Set<string>();
  for (const { key } of items) {
    if (key.length === 0) throw invalid(`a key of ${field} is empty: keys are 1 to ${KEY_BYTES_MAX} bytes`);
    if (key.length > KEY_BYTES_MAX) {
      throw invalid(`a key of ${field} has ${key.length} bytes: keys are 1 to ${KEY_BYTES_MAX}`);
    }
    const name = key.toString('latin1');
    if (seen.has(name)) throw invalid(`${field} name a key twice`);
    seen.add(name);
  }
}

function invalid(message: string): SynodError {
  return new SynodError('invalid-argument', message);
}
