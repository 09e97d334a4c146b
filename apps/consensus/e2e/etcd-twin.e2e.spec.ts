import { serviceDefinition, type MessageShape, type MethodDefinition } from '@synod/contracts';
import { EtcdCoordination } from '@synod/coordination';
import { eventually, succeeds } from '@synod/eventually';
import { GrpcChannels, statusOf } from '@synod/rpc';
import { systemClock, systemRandom, systemTimers } from '@synod/runtime';
import { whereInstalled } from '@synod/test-processes';
import fc from 'fast-check';
import { EtcdTwin } from './etcd-twin';
import { calls, type Call } from './random-requests';
import { TestCluster } from './test-cluster';

/** The same calls at every run; another seed, or more calls, for those who look for trouble. */
const SEED = Number(process.env['SYNOD_TWIN_SEED'] ?? 1);
const CALLS = Number(process.env['SYNOD_TWIN_CALLS'] ?? 1_500);

const KV = serviceDefinition('etcdserverpb.KV');
const LEASE = serviceDefinition('etcdserverpb.Lease');
const MAINTENANCE = serviceDefinition('etcdserverpb.Maintenance');
const channels = new GrpcChannels();
let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start(1);
});

afterAll(async () => {
  channels.close();
  await cluster.destroy();
});

/** Makes a call. @returns what is worth comparing: the response without who answered, or status and text */
function answer(address: string, call: Call, revision: number): Promise<unknown> {
  return answered(ask(address, call, revision));
}

async function answered(call: Promise<object>): Promise<unknown> {
  try {
    return comparable(await call);
  } catch (error) {
    const status = statusOf(error);
    if (status === undefined) throw error;
    return `${status.code} ${status.details}`;
  }
}

function ask(address: string, call: Call, revision: number): Promise<object> {
  const options = { deadlineMs: 10_000 };
  switch (call.kind) {
    case 'range': {
      const asked = call.back === undefined ? {} : { revision: revision - call.back };
      return channels.callUnary(address, KV.Range, { ...call.request, ...asked }, options);
    }
    case 'put':
      return channels.callUnary(address, KV.Put, call.request, options);
    case 'delete':
      return channels.callUnary(address, KV.DeleteRange, call.request, options);
    case 'txn':
      return channels.callUnary(address, KV.Txn, call.request, options);
    case 'compact':
      return channels.callUnary(address, KV.Compact, { revision: revision - call.back, physical: true }, options);
    case 'grant':
      return channels.callUnary(address, LEASE.LeaseGrant, call.request, options);
    case 'revoke':
      return channels.callUnary(address, LEASE.LeaseRevoke, call.request, options);
    case 'leases':
      return channels.callUnary(address, LEASE.LeaseLeases, {}, options);
  }
}

function comparable(response: object): unknown {
  return JSON.parse(
    JSON.stringify(response, (name, field: unknown) => {
      if (name === 'header') return { revision: (field as { revision?: string } | null)?.revision };
      // Leases of the members' own registrations; etcd lists them in no order.
      if (name === 'leases') {
        return (field as { ID: string }[])
          .map(({ ID }) => ID)
          .filter((id) => id.length < 4)
          .sort();
      }
      return field;
    }),
  );
}

/** Of the store when it answered; what it refuses leaves that as it was. */
function revisionIn(answer: unknown): number | undefined {
  const revision = (answer as { header?: { revision?: string } }).header?.revision;
  return revision === undefined ? undefined : Number(revision);
}

async function revisionOf(address: string): Promise<number> {
  const { header } = await channels.callUnary(address, KV.Range, { key: Buffer.from('x') }, { deadlineMs: 10_000 });
  return Number(header?.revision);
}

/** Brings two stores to the same revision, with nothing in them but what clients cannot see, and no past. */
async function level(a: string, b: string): Promise<number> {
  const filler = { key: Buffer.from('filler') };
  const options = { deadlineMs: 10_000 };
  for (const address of [a, b]) await channels.callUnary(address, KV.Put, filler, options);
  await eventually('both to be of one revision', async () => {
    const [atA, atB] = [await revisionOf(a), await revisionOf(b)];
    if (atA === atB) return true;
    // Puts until then: they may be far apart.
    for (let behind = Math.abs(atA - atB); behind > 0; behind--)
      await channels.callUnary(atA < atB ? a : b, KV.Put, filler, options);
    return false;
  });
  for (const address of [a, b]) await channels.callUnary(address, KV.DeleteRange, filler, options);
  const revision = await revisionOf(a);
  for (const address of [a, b]) await channels.callUnary(address, KV.Compact, { revision, physical: true }, options);
  return revision;
}

/** Walks through everything that services ask of a coordination store. */
async function useCoordination(address: string): Promise<void> {
  const ports = { channels, clock: systemClock, timers: systemTimers, random: systemRandom };
  const coordination = new EtcdCoordination(ports, { endpoints: [address], identity: 'service' });
  const key = Buffer.from('\0synod/test');
  const lease = await coordination.grantLease(60);
  const create = {
    compare: [{ key, target: 'create-revision' as const, equals: 0n }],
    success: [{ kind: 'put' as const, key, value: Buffer.from('1'), lease }],
    failure: [{ kind: 'range' as const, key }],
  };
  const created = await coordination.transaction(create);
  expect(created).toMatchObject({ succeeded: true, ranges: [[]] });
  expect(await coordination.transaction(create)).toMatchObject({
    succeeded: false,
    ranges: [[{ key, value: Buffer.from('1'), version: 1n, lease, createRevision: created.revision }]],
  });
  expect((await coordination.range(key)).entries).toHaveLength(1);
  expect(await coordination.keepLeaseAlive(lease)).toBe(60);
  const seen = new Promise<string[]>((resolve) => {
    const types: string[] = [];
    const cancel = coordination.watch(
      { key, startRevision: created.revision },
      {
        events: (events) => {
          types.push(...events.map(({ type, entry }) => `${type} ${entry.value.toString()}`));
          if (types.length < 2) return;
          cancel();
          resolve(types);
        },
        compacted: () => undefined,
      },
    );
  });
  await coordination.revokeLease(lease);
  expect(await seen).toEqual(['put 1', 'delete ']);
  expect(await coordination.keepLeaseAlive(lease)).toBe(0);
  await expect(coordination.transaction(create)).rejects.toMatchObject({ kind: 'not-found' });
  coordination.close();
}

it('is used by services through the etcd API', () => useCoordination(cluster.endpoints[0] ?? ''));

function difference(call: Call, mine: unknown, its: unknown): string {
  const text = (value: unknown): string =>
    JSON.stringify(value, (_name, field: unknown) => {
      const bytes = field as { readonly type?: unknown; readonly data?: number[] } | null;
      return bytes?.type === 'Buffer' ? Buffer.from(bytes.data ?? []).toString('latin1') : field;
    });
  return `asked ${text(call)}\n  consensus: ${text(mine)}\n  etcd:      ${text(its)}`;
}

whereInstalled('etcd', 'consensus beside etcd, call by call', () => {
  let twin: EtcdTwin;
  beforeAll(async () => {
    twin = await EtcdTwin.start();
    await eventually('etcd to answer', () => succeeds(revisionOf(twin.address)));
  });
  afterAll(() => twin.destroy());

  it('is replaced by an etcd cluster without its services noticing', () => useCoordination(twin.address));

  it('keeps alarms as etcd does, and refuses the same while they are raised', async () => {
    const both = [cluster.endpoints[0] ?? '', twin.address];
    const revision = await level(both[0] ?? '', twin.address);
    const key = Buffer.from('alarmed');
    const put = { requestPut: { key } };
    const calls = (address: string): (() => Promise<object>)[] => {
      const on =
        <Request extends MessageShape, Response extends MessageShape>(
          method: MethodDefinition<Request, Response>,
          request: Request['input'],
        ) =>
        async (): Promise<object> =>
          (await channels.callUnary(address, method, request, { deadlineMs: 10_000 })) as object;
      // etcd 3.4 leaves the revision out of the headers of these.
      const alarm =
        (action: 'GET' | 'ACTIVATE' | 'DEACTIVATE', type: 'NONE' | 'NOSPACE' | 'CORRUPT', member = 7) =>
        async (): Promise<object> => {
          const request = { action, alarm: type, memberID: member };
          const { alarms } = await channels.callUnary(address, MAINTENANCE.Alarm, request, { deadlineMs: 10_000 });
          return { alarms };
        };
      const writes = [
        on(KV.Put, { key }),
        on(KV.Put, { key, lease: 99 }),
        on(KV.Txn, { success: [put] }),
        on(KV.Txn, { failure: [put] }),
        on(KV.Txn, { success: [{ requestRange: { key } }] }),
        on(KV.Txn, { success: [{ requestDeleteRange: { key: Buffer.from('none') } }] }),
        on(KV.Range, { key }),
        on(KV.DeleteRange, { key }),
        on(LEASE.LeaseGrant, { ID: 7_001, TTL: 60 }),
        on(LEASE.LeaseRevoke, { ID: 7_001 }),
        on(KV.Compact, { revision: revision + 1 }),
        async () => ({
          errors: (await channels.callUnary(address, MAINTENANCE.Status, {}, { deadlineMs: 10_000 })).errors,
        }),
      ];
      return [
        on(KV.Put, { key }),
        alarm('GET', 'NONE'),
        alarm('ACTIVATE', 'NOSPACE'),
        alarm('ACTIVATE', 'NOSPACE'),
        ...writes,
        alarm('GET', 'CORRUPT'),
        alarm('GET', 'NOSPACE', 8),
        alarm('DEACTIVATE', 'NOSPACE', 9),
        alarm('DEACTIVATE', 'NONE', 0),
        alarm('DEACTIVATE', 'NOSPACE'),
        on(LEASE.LeaseGrant, { ID: 7_001, TTL: 60 }),
        alarm('ACTIVATE', 'CORRUPT', 0),
        ...writes,
        alarm('DEACTIVATE', 'CORRUPT', 0),
        ...writes,
        alarm('GET', 'NONE'),
        on(MAINTENANCE.HashKV, { revision: 99_999_999 }),
        on(MAINTENANCE.HashKV, { revision: 1 }),
      ];
    };
    const answers = async (address: string): Promise<unknown[]> => {
      const told: unknown[] = [];
      for (const call of calls(address)) told.push(await answered(call()));
      return told;
    };
    const [mine, its] = await Promise.all(both.map(answers));
    expect(mine).toEqual(its);
  });

  it('answers every call as etcd does, errors and revisions included', async () => {
    const [ours, theirs] = [cluster.endpoints[0] ?? '', twin.address];
    let revision = await level(ours, theirs);
    let answered = 0;
    let refused = 0;
    for (const call of fc.sample(calls, { numRuns: CALLS, seed: SEED })) {
      const [mine, its] = await Promise.all([answer(ours, call, revision), answer(theirs, call, revision)]);
      if (JSON.stringify(mine) !== JSON.stringify(its)) throw new Error(difference(call, mine, its));
      if (typeof mine === 'string') refused++;
      else answered++;
      revision = revisionIn(mine) ?? revision;
    }
    expect(answered).toBeGreaterThan(CALLS / 4);
    expect(refused).toBeGreaterThan(CALLS / 20);
  }, 300_000);
});
