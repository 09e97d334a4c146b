import type { ShardId, StorageRequest, Timestamp, TxnHandle, TxnOutcome } from '@synod/protocols';

/** `handleOf('a7', 2)`: a transaction whose id is the name, padded, and whose anchor is shard 2. */
export function handleOf(name: string, anchor: ShardId): TxnHandle {
  return { id: Buffer.from(name).toString('hex').padEnd(32, '0'), anchor };
}

/** What a transaction does, in short: `{ txn: 't', reads: { '0/a': 5n }, writes: { '0/b': 'x', '0/c': undefined } }`. */
export interface TxnSketch {
  readonly txn: string;
  readonly anchor?: ShardId;
  readonly attempt?: number;
  readonly priority?: Timestamp;
  readonly reads?: Readonly<Record<string, Timestamp>>;
  readonly writes?: Readonly<Record<string, string | undefined>>;
}

function work(sketch: TxnSketch) {
  return {
    attempt: {
      txn: handleOf(sketch.txn, sketch.anchor ?? 0),
      attempt: sketch.attempt ?? 1,
      priority: sketch.priority ?? 1n,
    },
    reads: Object.entries(sketch.reads ?? {}).map(([key, version]) => ({ key: Buffer.from(key), version })),
    writes: Object.entries(sketch.writes ?? {}).map(([key, value]) => ({
      key: Buffer.from(key),
      value: value === undefined ? undefined : Buffer.from(value),
    })),
  };
}

export function prepareOf(shard: ShardId, sketch: TxnSketch): StorageRequest & { kind: 'prepare' } {
  return { kind: 'prepare', shard, ...work(sketch) };
}

/** The anchor is the shard itself. */
export function onePhaseOf(shard: ShardId, sketch: TxnSketch): StorageRequest & { kind: 'commit-one-phase' } {
  return { kind: 'commit-one-phase', shard, ...work({ anchor: shard, ...sketch }) };
}

export function decideOf(
  txn: TxnHandle,
  proposal: TxnOutcome,
  participants: readonly ShardId[] = [],
): StorageRequest & { kind: 'decide' } {
  return { kind: 'decide', shard: txn.anchor, txn, proposal, participants };
}

export function resolveOf(shard: ShardId, txn: TxnHandle, outcome: TxnOutcome): StorageRequest & { kind: 'resolve' } {
  return { kind: 'resolve', shard, txn, outcome };
}

export function readOf(shard: ShardId, keys: readonly string[], readTs: Timestamp): StorageRequest & { kind: 'read' } {
  return { kind: 'read', shard, keys: keys.map((key) => Buffer.from(key)), readTs };
}

export function scanOf(
  shard: ShardId,
  start: string,
  end: string,
  readTs: Timestamp,
  limit = 100,
): StorageRequest & { kind: 'scan' } {
  return { kind: 'scan', shard, start: Buffer.from(start), end: Buffer.from(end), limit, readTs };
}

export function committed(commitTs: Timestamp, attempt = 1): TxnOutcome {
  return { state: 'committed', attempt, commitTs };
}

export function aborted(attempt = 1): TxnOutcome {
  return { state: 'aborted', attempt };
}
