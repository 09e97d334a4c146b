import type {
  Compare,
  Coordination,
  CoordinationEntry,
  Operation,
  TransactionResult,
  WatchHandler,
} from '@synod/coordination';
import { SynodError, type ErrorKind } from '@synod/runtime';
import type { CoordinationHost } from './coordination-host';
import { EtcdError, type EtcdErrorName } from './state/errors';
import {
  deleteRangeRequest,
  putRequest,
  rangeRequest,
  type CompareRequest,
  type OperationRequest,
} from './state/requests';
import { spanOf } from './state/span';

const POINT = Buffer.alloc(0);

/** The coordination store for what runs in the same process as a member of it: the planner and the timestamp oracle, as a service. */
export class LocalCoordination implements Coordination {
  constructor(private readonly host: CoordinationHost) {}

  async range(
    key: Buffer,
    rangeEnd: Buffer = POINT,
  ): Promise<{ revision: bigint; entries: readonly CoordinationEntry[] }> {
    return read(this.host.range(rangeRequest(key, rangeEnd), false, 'service'));
  }

  async transaction(request: {
    readonly compare: readonly Compare[];
    readonly success: readonly Operation[];
    readonly failure: readonly Operation[];
  }): Promise<TransactionResult> {
    const result = await write(
      this.host.txn(
        {
          kind: 'txn',
          compare: request.compare.map(compareRequest),
          success: request.success.map(operationRequest),
          failure: request.failure.map(operationRequest),
        },
        'service',
      ),
    );
    const ranges = result.responses.map((response) => (response.kind === 'range' ? response.entries : []));
    return { revision: result.revision, succeeded: result.succeeded, ranges };
  }

  async grantLease(ttlSeconds: number): Promise<bigint> {
    return (await write(this.host.leases.grant(0n, BigInt(ttlSeconds), 'service'))).id;
  }

  async keepLeaseAlive(lease: bigint): Promise<number> {
    return Number((await read(this.host.leases.keepAlive(lease, 'service'))).ttlSeconds);
  }

  async revokeLease(lease: bigint): Promise<void> {
    await write(this.host.leases.revoke(lease, 'service'));
  }

  watch(range: { key: Buffer; rangeEnd?: Buffer; startRevision: bigint }, handler: WatchHandler): () => void {
    const watch = this.host.watches.watch(
      {
        span: spanOf(range.key, range.rangeEnd ?? POINT),
        startRevision: range.startRevision,
        withoutPuts: false,
        withoutDeletes: false,
        previous: false,
      },
      {
        deliver: (events, revision) => {
          handler.events(events, revision);
          return true;
        },
        compacted: (revision) => handler.compacted(revision),
      },
    );
    return () => watch.cancel();
  }
}

function compareRequest({ key, target, equals }: Compare): CompareRequest {
  const names = { 'create-revision': 'create', 'mod-revision': 'mod', version: 'version' } as const;
  return { key, rangeEnd: POINT, target: names[target], result: 'equal', operand: equals };
}

function operationRequest(operation: Operation): OperationRequest {
  switch (operation.kind) {
    case 'put':
      return putRequest(operation.key, operation.value, { lease: operation.lease ?? 0n });
    case 'delete':
      return deleteRangeRequest(operation.key, operation.rangeEnd ?? POINT);
    case 'range':
      return rangeRequest(operation.key, operation.rangeEnd ?? POINT);
  }
}

function read<T>(result: Promise<T>): Promise<T> {
  return result.catch((error: unknown) => {
    throw synodError(error, 'unavailable');
  });
}

function write<T>(result: Promise<T>): Promise<T> {
  return result.catch((error: unknown) => {
    throw synodError(error, 'outcome-unknown');
  });
}

/** @param lost what it means that no answer came */
function synodError(error: unknown, lost: 'unavailable' | 'outcome-unknown'): unknown {
  if (!(error instanceof EtcdError)) return error;
  return new SynodError(kindOf(error.code, lost), error.message, { cause: error });
}

function kindOf(code: EtcdErrorName, lost: 'unavailable' | 'outcome-unknown'): ErrorKind {
  switch (code) {
    case 'lease-not-found':
      return 'not-found';
    case 'lease-exists':
      return 'already-exists';
    case 'too-many-requests':
    case 'no-space':
      return 'overloaded';
    case 'corrupt':
      return 'corrupt';
    case 'permission-denied':
      return 'permission-denied';
    case 'timed-out':
    case 'timed-out-apply':
    case 'timed-out-leader-failed':
    case 'timed-out-connection-lost':
      return lost;
    case 'no-leader':
      return 'unavailable';
    default:
      return 'invalid-argument';
  }
}
