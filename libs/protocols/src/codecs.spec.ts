import type { Codec } from '@synod/runtime';
import { coordinatorProtocol } from './coordinator-codec';
import { oracleProtocol } from './oracle-codec';
import type { Numbered } from './request-stream';
import { storageProtocol } from './storage-codec';
import type { CoordinatorRequest, CoordinatorResponse } from './coordinator';
import type { TimestampRequest, TimestampResponse } from './oracle';
import type { StorageRequest, StorageResponse } from './storage';

const TS = (1n << 62n) + 5n;
const txn = { id: '0123456789abcdef0123456789abcdef', anchor: 63 };
const attempt = { txn, attempt: 2, priority: TS };
const committed = { state: 'committed', attempt: 2, commitTs: TS } as const;
const aborted = { state: 'aborted', attempt: 1 } as const;
const work = {
  shard: 7,
  attempt,
  reads: [
    { key: Buffer.from([0, 255]), version: 0n },
    { key: Buffer.from('k'), version: TS },
  ],
  writes: [
    { key: Buffer.from('k'), value: Buffer.alloc(0) },
    { key: Buffer.from('gone'), value: undefined },
  ],
};
const error = { kind: 'error', error: { kind: 'not-leader', message: 'ask n2', hint: 'n2:1' } } as const;

const storageRequests: StorageRequest[] = [
  { kind: 'read', shard: 0, keys: [Buffer.from('a'), Buffer.from([0])], readTs: TS },
  { kind: 'scan', shard: 1, start: Buffer.from('a'), end: Buffer.from('b'), limit: 10, readTs: TS },
  { kind: 'prepare', ...work },
  { kind: 'commit-one-phase', ...work },
  { kind: 'decide', shard: 63, txn, proposal: committed, participants: [1, 63] },
  { kind: 'decide', shard: 63, txn, proposal: aborted, participants: [] },
  { kind: 'status', shard: 63, txn },
  { kind: 'resolve', shard: 3, txn, outcome: aborted },
];

const storageResponses: StorageResponse[] = [
  {
    kind: 'read',
    values: [
      { value: Buffer.alloc(0), version: TS },
      { value: undefined, version: 0n },
    ],
  },
  { kind: 'scan', rows: [{ key: Buffer.from('k'), value: Buffer.from('v'), version: TS }], more: true },
  { kind: 'prepared', prepTs: TS },
  { kind: 'conflict', reason: 'k is locked' },
  { kind: 'record', record: { state: 'none' } },
  { kind: 'record', record: committed },
  { kind: 'resolved' },
  error,
];

const coordinatorRequests: CoordinatorRequest[] = [
  { kind: 'begin' },
  { kind: 'commit', attempt, reads: work.reads, writes: work.writes },
  { kind: 'outcome', txn, attempt: 3 },
];

const coordinatorResponses: CoordinatorResponse[] = [
  { kind: 'begun', readTs: TS },
  { kind: 'outcome', outcome: committed, conflict: false, reason: '' },
  { kind: 'outcome', outcome: aborted, conflict: true, reason: 'locked' },
  error,
];

const oracleRequests: TimestampRequest[] = [{ kind: 'timestamps', count: 262_144 }];
const oracleResponses: TimestampResponse[] = [{ kind: 'timestamps', first: TS, count: 3 }, error];

function roundTrip<T>(codec: Codec<Numbered<T>>, bodies: readonly T[]): T[] {
  const batch = bodies.map((body, index) => ({ id: index + 1, body }));
  const decoded = codec.decode(codec.encode(batch));
  expect(decoded.map(({ id }) => id)).toEqual(batch.map(({ id }) => id));
  return decoded.map(({ body }) => body);
}

describe('codecs', () => {
  it('bring every storage message through protobuf unchanged', () => {
    const { up, down } = storageProtocol();
    expect(roundTrip(up, storageRequests)).toEqual(storageRequests);
    expect(roundTrip(down, storageResponses)).toEqual(storageResponses);
  });

  it('bring every coordinator message through protobuf unchanged', () => {
    const { up, down } = coordinatorProtocol();
    expect(roundTrip(up, coordinatorRequests)).toEqual(coordinatorRequests);
    expect(roundTrip(down, coordinatorResponses)).toEqual(coordinatorResponses);
  });

  it('bring every oracle message through protobuf unchanged', () => {
    const { up, down } = oracleProtocol();
    expect(roundTrip(up, oracleRequests)).toEqual(oracleRequests);
    expect(roundTrip(down, oracleResponses)).toEqual(oracleResponses);
  });

  it('read Buffers whatever kind of bytes they are given', () => {
    const { down } = storageProtocol();
    const bytes = new Uint8Array(down.encode([{ id: 1, body: storageResponses[1] as StorageResponse }]));
    const [decoded] = down.decode(bytes);
    expect(decoded?.body.kind === 'scan' && Buffer.isBuffer(decoded.body.rows[0]?.key)).toBe(true);
  });

  it('refuse bytes that no release wrote', () => {
    expect(() => storageProtocol().up.decode(Buffer.from([0xff, 0xff, 0xff]))).toThrow();
  });
});
