import fc from 'fast-check';
import { decodeCommand, encodeCommand, type ShardCommand } from './commands';

const ts = fc.bigInt({ min: 0n, max: (1n << 63n) - 1n });
const attemptNumber = fc.integer({ min: 1, max: 0xffff_ffff });
const shard = fc.integer({ min: 0, max: 0xffff });
const handle = fc.record({
  id: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString('hex')),
  anchor: shard,
});
const key = fc.uint8Array({ minLength: 1, maxLength: 1024 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
const value = fc.option(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  { nil: undefined },
);
const decision = fc.oneof(
  fc.record({ state: fc.constant('committed' as const), attempt: attemptNumber, commitTs: ts }),
  fc.record({ state: fc.constant('aborted' as const), attempt: attemptNumber }),
);
const work = fc.record({
  attempt: fc.record({ txn: handle, attempt: attemptNumber, priority: ts }),
  reads: fc.array(fc.record({ key, version: ts }), { maxLength: 5 }),
  writes: fc.array(fc.record({ key, value }), { maxLength: 5 }),
});
const command: fc.Arbitrary<ShardCommand> = fc.oneof(
  fc.record({ kind: fc.constant('prepare' as const), work, prepTs: ts }),
  fc.record({ kind: fc.constant('commit-one-phase' as const), work, commitTs: ts }),
  fc.record({
    kind: fc.constant('decide' as const),
    txn: handle,
    proposal: decision,
    participants: fc.array(shard, { maxLength: 5 }),
  }),
  fc.record({ kind: fc.constant('resolve' as const), txn: handle, outcome: decision }),
);

describe('commands', () => {
  it('come back from their bytes as they were, and always as the same bytes', () => {
    fc.assert(
      fc.property(command, (original) => {
        const bytes = encodeCommand(original);
        expect(decodeCommand(bytes)).toEqual(original);
        expect(encodeCommand(original)).toEqual(bytes);
      }),
    );
  });

  it('are refused when cut short or followed by anything', () => {
    fc.assert(
      fc.property(command, fc.nat(), (original, at) => {
        const bytes = encodeCommand(original);
        expect(() => decodeCommand(bytes.subarray(0, at % bytes.length))).toThrow(/damaged|later release/);
        expect(() => decodeCommand(Buffer.concat([bytes, Buffer.of(0)]))).toThrow('damaged');
      }),
    );
  });

  it('of a later release stop the node and say so', () => {
    expect(() => decodeCommand(Buffer.of(200))).toThrow(
      'shard command kind 200 is not known here: it was written by a later release',
    );
  });

  // The bytes are in logs on disk: they stay as they are.
  it('have these bytes', () => {
    const txn = { id: '000102030405060708090a0b0c0d0e0f', anchor: 7 };
    const resolve = encodeCommand({
      kind: 'resolve',
      txn,
      outcome: { state: 'committed', attempt: 2, commitTs: 258n },
    });
    expect(resolve.toString('hex')).toBe('04000102030405060708090a0b0c0d0e0f000701000000020000000000000102');
    const prepare = encodeCommand({
      kind: 'prepare',
      prepTs: 5n,
      work: {
        attempt: { txn, attempt: 1, priority: 3n },
        reads: [{ key: 'r', version: 2n }],
        writes: [
          { key: 'w', value: Buffer.from('x') },
          { key: 'd', value: undefined },
        ],
      },
    });
    expect(prepare.toString('hex')).toBe(
      [
        '01' + '0000000000000005',
        '000102030405060708090a0b0c0d0e0f' + '0007' + '00000001' + '0000000000000003',
        '00000001' + '0001' + '72' + '0000000000000002',
        '00000002' + '0001' + '77' + '01' + '00000001' + '78' + '0001' + '64' + '00',
      ].join(''),
    );
  });
});
