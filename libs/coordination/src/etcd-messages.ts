import type { etcdserverpb, mvccpb } from '@synod/contracts';
import type { Compare, CoordinationEntry, CoordinationEvent, Operation } from './port';

// Between the words of `Coordination` and etcd's messages, in which 64-bit integers are decimal strings.

export function toCompare({ key, target, equals }: Compare): etcdserverpb.Compare {
  const operand = equals.toString();
  switch (target) {
    case 'create-revision':
      return { key, result: 'EQUAL', target: 'CREATE', createRevision: operand };
    case 'mod-revision':
      return { key, result: 'EQUAL', target: 'MOD', modRevision: operand };
    case 'version':
      return { key, result: 'EQUAL', target: 'VERSION', version: operand };
  }
}

export function toOperation(operation: Operation): etcdserverpb.RequestOp {
  const { key } = operation;
  switch (operation.kind) {
    case 'put':
      return { requestPut: { key, value: operation.value, lease: (operation.lease ?? 0n).toString() } };
    case 'delete':
      return { requestDeleteRange: { key, ...rangeEndToWire(operation.rangeEnd) } };
    case 'range':
      return { requestRange: { key, ...rangeEndToWire(operation.rangeEnd) } };
  }
}

export function entryFromWire(entry: mvccpb.KeyValue__Output): CoordinationEntry {
  return {
    key: entry.key,
    value: entry.value,
    createRevision: BigInt(entry.createRevision),
    modRevision: BigInt(entry.modRevision),
    version: BigInt(entry.version),
    lease: BigInt(entry.lease),
  };
}

/** The events of a response by revision: a member may send several at once. */
export function byRevision(events: readonly mvccpb.Event__Output[]): Map<bigint, CoordinationEvent[]> {
  const groups = new Map<bigint, CoordinationEvent[]>();
  for (const { type, kv } of events) {
    if (kv === null) continue;
    const entry = entryFromWire(kv);
    const event: CoordinationEvent = { type: type === 'DELETE' ? 'delete' : 'put', entry };
    const group = groups.get(entry.modRevision);
    if (group === undefined) groups.set(entry.modRevision, [event]);
    else group.push(event);
  }
  return groups;
}

/**
 * The end of a range, left out if there is none. An empty one must not be sent: etcd's server takes a field that is there and empty
 * for "to the last key", and would delete as much.
 */
export function rangeEndToWire(rangeEnd: Buffer | undefined): { readonly rangeEnd?: Buffer } {
  return rangeEnd === undefined || rangeEnd.length === 0 ? {} : { rangeEnd };
}
