import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { serviceDefinition, type MessageShape, type MethodDefinition } from '@synod/contracts';
import { statusOf, type GrpcChannels } from '@synod/rpc';
import type { TestCluster, TestMember } from './test-cluster';

const AUTH = serviceDefinition('etcdserverpb.Auth');
const CLUSTER = serviceDefinition('etcdserverpb.Cluster');
const KV = serviceDefinition('etcdserverpb.KV');
const LEASE = serviceDefinition('etcdserverpb.Lease');

const TESTDATA = path.join(__dirname, '../testdata');
/** So small that a few puts have a log cut, and a member that missed them needs a snapshot. */
export const SMALL_LOG = ['--snapshot-count', '20', '--log-segment-bytes', '65536'];
const ROOT = { name: 'root', password: 'rootpw' };
const OVERWRITES = 120;
const bytes = (text: string): Buffer => Buffer.from(text);
const USER_KEYS = { key: bytes('a'), rangeEnd: bytes('{') };

/** What a cluster shows of its state to those who ask, in a form that can be kept as JSON. */
export interface Contents {
  readonly revision: string;
  /** At the revision above, and at an earlier one: `key=value created modified version lease`. */
  readonly keys: readonly string[];
  readonly earlier: { readonly revision: string; readonly keys: readonly string[] };
  /** How a read below the compaction is answered. */
  readonly compacted: string;
  /** `id granted seconds: keys`. */
  readonly leases: readonly string[];
  readonly authEnabled: boolean;
  /** `user: roles`, `role: permissions`. */
  readonly users: readonly string[];
  readonly roles: readonly string[];
}

/** The calls that fill a cluster and look at it, at one member, as root where users are checked. */
export class Keeper {
  private metadata: Readonly<Record<string, string>> = {};

  constructor(
    private readonly channels: GrpcChannels,
    private readonly member: TestMember,
  ) {}

  call<Request extends MessageShape, Response extends MessageShape>(
    method: MethodDefinition<Request, Response>,
    request: Request['input'],
  ): Promise<Response['output']> {
    return this.channels.callUnary(this.member.address, method, request, {
      deadlineMs: 20_000,
      metadata: this.metadata,
    });
  }

  async put(key: string, value: string, lease = '0'): Promise<void> {
    await this.call(KV.Put, { key: bytes(key), value: bytes(value), lease });
  }

  /** Something of everything that lies in a data folder. */
  async fill(): Promise<void> {
    await this.call(LEASE.LeaseGrant, { ID: '77', TTL: '900000000' });
    await this.call(LEASE.LeaseGrant, { ID: '78', TTL: '800000000' });
    for (let index = 0; index < 10; index++) await this.put(`key-${index}`, `first-${index}`);
    await this.put('leased', '1', '77');
    await this.put('deleted', '1');
    const { header } = await this.call(KV.DeleteRange, { key: bytes('deleted') });
    await this.call(KV.Compact, { revision: header?.revision ?? '0', physical: true });
    const again = { requestPut: { key: bytes('key-0'), value: bytes('by a transaction') } };
    await this.call(KV.Txn, { success: [again, { requestDeleteRange: { key: bytes('key-9') } }] });
    await this.call(AUTH.UserAdd, ROOT);
    await this.call(AUTH.RoleAdd, { name: 'root' });
    await this.call(AUTH.UserGrantRole, { user: 'root', role: 'root' });
    await this.call(AUTH.UserAdd, { name: 'ann', password: 'annpw' });
    await this.call(AUTH.RoleAdd, { name: 'reader' });
    const perm = { permType: 'READ', key: bytes('key-'), rangeEnd: bytes('key.') } as const;
    await this.call(AUTH.RoleGrantPermission, { name: 'reader', perm });
    await this.call(AUTH.UserGrantRole, { user: 'ann', role: 'reader' });
  }

  /** So many that the log is cut. */
  async overwrite(): Promise<void> {
    for (let put = 0; put < OVERWRITES; put++) await this.put(`key-${put % 5}`, `${put}`.padEnd(1_500, '.'));
  }

  /** A learner that comes and goes: the members as the log has them, in place of those of the founding. */
  async changeMembers(): Promise<void> {
    const { member } = await this.call(CLUSTER.MemberAdd, { peerURLs: ['http://127.0.0.1:1'], isLearner: true });
    await this.call(CLUSTER.MemberRemove, { ID: member?.ID ?? '0' });
  }

  async enableAuth(): Promise<void> {
    await this.call(AUTH.AuthEnable, {});
    await this.authenticate();
  }

  /** @param revision where to look; where the cluster is now by default */
  async contents(revision?: string): Promise<Contents> {
    const authEnabled = (await this.call(AUTH.AuthStatus, {}).catch(() => undefined))?.enabled ?? true;
    if (authEnabled) await this.authenticate();
    const now = revision ?? (await this.call(KV.Range, { key: bytes('a') })).header?.revision ?? '0';
    const before = String(BigInt(now) - 30n);
    const { leases } = await this.call(LEASE.LeaseLeases, {});
    const own = leases.map(({ ID }) => ID).filter((id) => BigInt(id) < 100n);
    const { users } = await this.call(AUTH.UserList, {});
    const { roles } = await this.call(AUTH.RoleList, {});
    return {
      revision: now,
      keys: await this.keysAt(now),
      earlier: { revision: before, keys: await this.keysAt(before) },
      compacted: await this.keysAt('2').then(
        () => 'read',
        (error: unknown) => statusOf(error)?.details ?? String(error),
      ),
      leases: await Promise.all(own.map((id) => this.lease(id))),
      authEnabled,
      users: await Promise.all(
        users.map(async (name) => `${name}: ${(await this.call(AUTH.UserGet, { name })).roles.join()}`),
      ),
      roles: await Promise.all(roles.map((role) => this.permissions(role))),
    };
  }

  private async authenticate(): Promise<void> {
    this.metadata = { token: (await this.call(AUTH.Authenticate, ROOT)).token };
  }

  private async keysAt(revision: string): Promise<string[]> {
    const { kvs } = await this.call(KV.Range, { ...USER_KEYS, revision });
    return kvs.map(
      ({ key, value, createRevision, modRevision, version, lease }) =>
        `${key.toString()}=${folded(value)} ${createRevision} ${modRevision} ${version} ${lease}`,
    );
  }

  private async lease(ID: string): Promise<string> {
    const { grantedTTL, TTL, keys } = await this.call(LEASE.LeaseTimeToLive, { ID, keys: true });
    if (BigInt(TTL) <= 0n) throw new Error(`lease ${ID} is over`);
    return `${ID} ${grantedTTL} s: ${keys.map(String).join()}`;
  }

  private async permissions(role: string): Promise<string> {
    const { perm } = await this.call(AUTH.RoleGet, { role });
    const each = perm.map(({ permType, key, rangeEnd }) => `${permType} ${key.toString()} ${rangeEnd.toString()}`);
    return `${role}: ${each.join()}`;
  }
}

/** A value with its padding as a number. */
function folded(value: Buffer): string {
  return value.toString().replace(/\.+$/, (dots) => `+${dots.length}`);
}

/** Data folders of all members, as an earlier release left them, and what must be found in them. */
export interface KeptFolders {
  readonly name: string;
  readonly members: number;
  readonly contents: Contents;
}

export function keptFolders(): KeptFolders[] {
  return readdirSync(TESTDATA)
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(path.join(TESTDATA, name), 'utf8')) as KeptFolders);
}

/** Puts kept folders where the members of a cluster, which does not run yet, have theirs. */
export function unpack({ name }: KeptFolders, { folder }: TestCluster): void {
  tar(['-xzf', path.join(TESTDATA, `${name}.tar.gz`), '-C', folder]);
}

/** Keeps the folders of a cluster that has stopped. The owner's lock is not part of the format. */
export function pack(kept: KeptFolders, { folder, members }: TestCluster): void {
  const names = members.map(({ id }) => id);
  const archive = path.join(TESTDATA, `${kept.name}.tar.gz`);
  tar(['--exclude=LOCK', '--sort=name', '--sparse', '-czf', archive, '-C', folder, ...names]);
  writeFileSync(path.join(TESTDATA, `${kept.name}.json`), `${JSON.stringify(kept, null, 2)}\n`);
}

function tar(args: readonly string[]): void {
  const { status, stderr } = spawnSync('tar', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`tar ${args.join(' ')}: ${stderr}`);
}
