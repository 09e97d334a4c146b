import { serviceDefinition } from '@synod/contracts';
import { eventually, succeeds } from '@synod/eventually';
import { GrpcChannels, statusOf } from '@synod/rpc';
import { whereInstalled } from '@synod/test-processes';
import fc from 'fast-check';
import { EtcdTwin } from './etcd-twin';
import { authCalls, PRELUDE, type AuthCall } from './random-auth-requests';
import { TestCluster } from './test-cluster';

const SEED = Number(process.env['SYNOD_TWIN_SEED'] ?? 1);
const CALLS = Number(process.env['SYNOD_TWIN_CALLS'] ?? 500);

const AUTH = serviceDefinition('etcdserverpb.Auth');
const KV = serviceDefinition('etcdserverpb.KV');
const LEASE = serviceDefinition('etcdserverpb.Lease');
const channels = new GrpcChannels();

/** One of the two servers, with the tokens that it handed out. */
class Server {
  private readonly tokens = new Map<string, string>();
  private enabled = false;

  constructor(readonly address: string) {}

  /** Makes a call. @returns what is worth comparing: the response without who answered and when, or status and text */
  async answer(call: AuthCall): Promise<unknown> {
    try {
      return comparable(await this.ask(call));
    } catch (error) {
      const status = statusOf(error);
      if (status === undefined) throw error;
      return `${status.code} ${status.details}`;
    }
  }

  /** Whether the answer to a call depends on the release of etcd: before 3.4.42 leases could be had without a token. */
  isDisputed({ by, request }: AuthCall): boolean {
    return request.kind.endsWith('-lease') && this.enabled && this.tokenOf(by) === undefined;
  }

  /** etcd before 3.6 refuses tokens that it does not know even while nobody is checked. */
  private tokenOf(by: AuthCall['by']): string | undefined {
    if (!this.enabled) return undefined;
    return by === 'forger' ? 'abc.1' : this.tokens.get(by);
  }

  private async ask({ by, request }: AuthCall): Promise<object> {
    const { address } = this;
    // No client shows a token when it asks for one.
    const token = request.kind === 'authenticate' ? undefined : this.tokenOf(by);
    const options = { deadlineMs: 10_000, metadata: token === undefined ? {} : { token } };
    switch (request.kind) {
      case 'authenticate': {
        const { name, password } = request;
        const answer = await channels.callUnary(address, AUTH.Authenticate, { name, password }, options);
        this.tokens.set(name, answer.token);
        return { token: answer.token !== '' };
      }
      case 'enable': {
        const answer = await channels.callUnary(address, AUTH.AuthEnable, {}, options);
        this.enabled = true;
        return answer;
      }
      case 'disable': {
        const answer = await channels.callUnary(address, AUTH.AuthDisable, {}, options);
        this.enabled = false;
        return answer;
      }
      case 'user-add': {
        const { name, password, noPassword } = request;
        return channels.callUnary(address, AUTH.UserAdd, { name, password, options: { noPassword } }, options);
      }
      case 'user-delete':
        return channels.callUnary(address, AUTH.UserDelete, { name: request.name }, options);
      case 'user-password': {
        const { name, password } = request;
        return channels.callUnary(address, AUTH.UserChangePassword, { name, password }, options);
      }
      case 'user-grant':
        return channels.callUnary(address, AUTH.UserGrantRole, { user: request.name, role: request.role }, options);
      case 'user-revoke':
        return channels.callUnary(address, AUTH.UserRevokeRole, { name: request.name, role: request.role }, options);
      case 'user-get':
        return channels.callUnary(address, AUTH.UserGet, { name: request.name }, options);
      case 'user-list':
        return channels.callUnary(address, AUTH.UserList, {}, options);
      case 'role-add':
        return channels.callUnary(address, AUTH.RoleAdd, { name: request.role }, options);
      case 'role-delete':
        return channels.callUnary(address, AUTH.RoleDelete, { role: request.role }, options);
      case 'role-get':
        return channels.callUnary(address, AUTH.RoleGet, { role: request.role }, options);
      case 'role-list':
        return channels.callUnary(address, AUTH.RoleList, {}, options);
      case 'role-grant': {
        const perm = { permType: request.permType, ...request.range };
        return channels.callUnary(address, AUTH.RoleGrantPermission, { name: request.role, perm }, options);
      }
      case 'role-revoke':
        return channels.callUnary(
          address,
          AUTH.RoleRevokePermission,
          { role: request.role, ...request.range },
          options,
        );
      case 'range':
        return channels.callUnary(address, KV.Range, request.request, options);
      case 'put':
        return channels.callUnary(address, KV.Put, request.request, options);
      case 'delete':
        return channels.callUnary(address, KV.DeleteRange, request.request, options);
      case 'txn':
        return channels.callUnary(address, KV.Txn, request.request, options);
      case 'grant-lease':
        return channels.callUnary(address, LEASE.LeaseGrant, { ID: request.id, TTL: 600 }, options);
      case 'revoke-lease':
        return channels.callUnary(address, LEASE.LeaseRevoke, { ID: request.id }, options);
    }
  }
}

const WHEN = new Set(['header', 'createRevision', 'modRevision']);

function comparable(response: object): unknown {
  return JSON.parse(JSON.stringify(response, (key, field: unknown) => (WHEN.has(key) ? undefined : field)));
}

function difference(calls: readonly AuthCall[], mine: unknown, its: unknown): string {
  const text = (value: unknown): string =>
    JSON.stringify(value, (_name, field: unknown) => {
      const bytes = field as { readonly type?: unknown; readonly data?: number[] } | null;
      return bytes?.type === 'Buffer' ? Buffer.from(bytes.data ?? []).toString('latin1') : field;
    });
  const before = calls.slice(-12).map((call) => `  ${text(call)}`);
  return `after\n${before.join('\n')}\n  consensus: ${text(mine)}\n  etcd:      ${text(its)}`;
}

whereInstalled('etcd', 'users and roles of consensus beside etcd, call by call', () => {
  let cluster: TestCluster;
  let twin: EtcdTwin;

  beforeAll(async () => {
    [cluster, twin] = await Promise.all([TestCluster.start(1), EtcdTwin.start(['--bcrypt-cost', '4'])]);
    const asked = { key: Buffer.from('x') };
    const ready = (): Promise<boolean> =>
      succeeds(channels.callUnary(twin.address, KV.Range, asked, { deadlineMs: 10_000 }));
    await eventually('etcd to answer', ready);
  });

  afterAll(async () => {
    channels.close();
    await Promise.all([cluster.destroy(), twin.destroy()]);
  });

  it('answers every call as etcd does, whoever asks', async () => {
    const [ours, theirs] = [new Server(cluster.endpoints[0] ?? ''), new Server(twin.address)];
    const counts = new Map<string, number>();
    const sample = [...PRELUDE, ...fc.sample(authCalls, { numRuns: CALLS, seed: SEED })];
    for (const [index, call] of sample.entries()) {
      if (ours.isDisputed(call)) continue;
      const [mine, its] = await Promise.all([ours.answer(call), theirs.answer(call)]);
      if (JSON.stringify(mine) !== JSON.stringify(its))
        throw new Error(difference(sample.slice(0, index + 1), mine, its));
      const outcome = typeof mine === 'string' ? mine : 'answered';
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    }
    // Not a run that only ever met one wall.
    expect(counts.get('answered')).toBeGreaterThan(CALLS / 5);
    expect(counts.get('7 etcdserver: permission denied')).toBeGreaterThan(CALLS / 50);
    expect(counts.size).toBeGreaterThan(12);
  }, 240_000);
});
