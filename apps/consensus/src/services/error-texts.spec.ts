import { serviceDefinition, type MessageShape, type MethodDefinition } from '@synod/contracts';
import { status, StatusError, type CallContext } from '@synod/rpc';
import { requestTimeoutUs } from '../leader-access';
import type { ConsensusNode } from '../node';
import { ClusterBench } from '../testing/cluster-bench';
import { authService } from './auth';
import { clusterService } from './cluster';
import { kvService } from './kv';
import { whileLed } from './leader-watch';
import { maintenanceService } from './maintenance';
import { ServedMember } from './member';

const KV = serviceDefinition('etcdserverpb.KV');
const CLUSTER = serviceDefinition('etcdserverpb.Cluster');
const AUTH = serviceDefinition('etcdserverpb.Auth');
const MAINTENANCE = serviceDefinition('etcdserverpb.Maintenance');
/** etcd's default. */
const ELECTION_US = 1_000_000;

/** The first of two members, of which it leads, behind its services. */
class Bench {
  readonly cluster = new ClusterBench(['n1', 'n2']);
  readonly member: ServedMember;
  private readonly services: Readonly<Record<string, object>>;

  private constructor() {
    const { host } = this.cluster;
    const members = host.group.status().members.map((each) => ({ ...each, learner: false }));
    const node = { host, founding: { clusterId: 'c' }, members, ports: { timers: this.cluster.time } };
    this.member = new ServedMember(node as unknown as ConsensusNode);
    this.services = {
      'etcdserverpb.KV': kvService(this.member),
      'etcdserverpb.Cluster': clusterService(this.member),
      'etcdserverpb.Auth': authService(this.member),
      'etcdserverpb.Maintenance': maintenanceService(this.member),
    };
  }

  static async led(): Promise<Bench> {
    const bench = new Bench();
    await bench.cluster.lead('n1');
    return bench;
  }

  /** How a call ends whose request has been bytes. */
  ending<Request extends MessageShape, Response extends MessageShape>(
    method: MethodDefinition<Request, Response>,
    request: Request['input'],
    metadata: Readonly<Record<string, string>> = {},
  ): Promise<string> {
    const [, service = '', name = ''] = method.path.split('/');
    const handlers = this.services[service] as Record<
      string,
      (request: unknown, context: CallContext) => Promise<unknown>
    >;
    const context = { metadata: (key: string) => metadata[key] } as unknown as CallContext;
    const answer = handlers[name]?.(method.requestDeserialize(method.requestSerialize(request)), context);
    return this.cluster.time.until(endingOf(Promise.resolve(answer)));
  }
}

function endingOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'OK',
    (error: unknown) => (error instanceof StatusError ? `${status[error.code]} ${error.details}` : String(error)),
  );
}

const key = Buffer.from('k');
const URLS = 'INVALID_ARGUMENT etcdserver: given member URLs are invalid';
const SORT = 'INVALID_ARGUMENT etcdserver: invalid sort option';

it.each([[[]], [['']], [['n3']], [['http://']], [['http://n3']], [['ftp://n3:2380']], [['http://n3:2380/path']]])(
  'a member is not to be reached at %j',
  async (peerURLs) => {
    const bench = await Bench.led();
    expect(await bench.ending(CLUSTER.MemberAdd, { peerURLs })).toBe(URLS);
    const ID = bench.member.number.toString();
    expect(await bench.ending(CLUSTER.MemberUpdate, { ID, peerURLs })).toBe(URLS);
  },
);

it('a range is sorted by what the contract has, inside a transaction too', async () => {
  const bench = await Bench.led();
  const unknown = 9 as never;
  for (const range of [
    { key, sortTarget: unknown },
    { key, sortOrder: unknown },
  ]) {
    expect(await bench.ending(KV.Range, range)).toBe(SORT);
    expect(await bench.ending(KV.Txn, { success: [{ requestRange: range }] })).toBe(SORT);
  }
});

it('a role is granted something', async () => {
  const bench = await Bench.led();
  await bench.ending(AUTH.RoleAdd, { name: 'r' });
  expect(await bench.ending(AUTH.RoleGrantPermission, { name: 'r' })).toBe(
    'INVALID_ARGUMENT etcdserver: permission not given',
  );
});

it('a leader that cannot hand over says so', async () => {
  const bench = await Bench.led();
  const targetID = bench.member.numberOf({ replicaId: 2 }).toString();
  expect(await bench.ending(MAINTENANCE.MoveLeader, { targetID })).toBe(
    'UNAVAILABLE etcdserver: request timed out, leader transfer took too long',
  );
});

describe('without a leader', () => {
  it('a call waits for 5 s and two election time-outs', async () => {
    expect(requestTimeoutUs(ELECTION_US)).toBe(7_000_000);
    const bench = await Bench.led();
    await bench.cluster.lead(undefined);
    const begun = bench.cluster.time.monotonicUs();
    expect(await bench.ending(KV.Range, { key })).toBe('UNAVAILABLE etcdserver: request timed out');
    // The last attempt ends between two retries.
    expect(bench.cluster.time.monotonicUs() - begun).toBeGreaterThanOrEqual(7_000_000);
    expect(bench.cluster.time.monotonicUs() - begun).toBeLessThan(7_100_000);
  });

  it('a call that wants one waits for nothing', async () => {
    const bench = await Bench.led();
    await bench.cluster.lead(undefined);
    const begun = bench.cluster.time.monotonicUs();
    const request = { key, serializable: true };
    expect(await bench.ending(KV.Range, request, { hasleader: 'true' })).toBe('UNAVAILABLE etcdserver: no leader');
    expect(bench.cluster.time.monotonicUs()).toBe(begun);
    expect(await bench.ending(KV.Range, request)).toBe('OK');
  });

  it('a stream that wants one ends when there was none at three looks, an election time-out apart', async () => {
    const { cluster, member } = await Bench.led();
    let ended: unknown;
    whileLed(member, cluster.time, new Promise<void>(() => undefined)).catch((error: unknown) => (ended = error));
    // In between there is one again: that was an election.
    await cluster.lead(undefined);
    await cluster.time.advance(2.5 * ELECTION_US);
    await cluster.lead('n2');
    await cluster.time.advance(ELECTION_US);
    await cluster.lead(undefined);
    await cluster.time.advance(2 * ELECTION_US);
    expect(ended).toBeUndefined();
    await cluster.time.advance(ELECTION_US);
    expect(String(ended)).toContain('etcdserver: no leader');
  });
});
