import { readFileSync } from 'node:fs';
import {
  Etcd3,
  EtcdAuthenticationFailedError,
  EtcdPermissionDeniedError,
  EtcdUserExistsError,
  Range,
  type IOptions,
  type Lease,
} from 'etcd3';
import { eventually, succeeds } from '@synod/eventually';
import { TestCluster, type TestMember } from './test-cluster';
import { TlsCluster } from './testing/tls-cluster';

// The npm client that most Node teams use, unmodified, against three members. It finds its way by itself when the leader is killed.

const ROOT = { username: 'root', password: 'rootpw' };

/** Three members, and how the client reaches them. */
interface Setting {
  readonly cluster: TestCluster;
  readonly options: IOptions;
  start(member: TestMember): void;
}

async function inTheClear(): Promise<Setting> {
  const cluster = await TestCluster.start(3);
  const hosts = cluster.endpoints.map((address) => `http://${address}`);
  return { cluster, options: { hosts }, start: (member) => member.start() };
}

async function withTls(): Promise<Setting> {
  const secured = await TlsCluster.start();
  const { cluster, ca, client, urls: hosts } = secured;
  const credentials = {
    rootCertificate: readFileSync(ca),
    certChain: readFileSync(client.cert),
    privateKey: readFileSync(client.key),
  };
  return { cluster, options: { hosts, credentials }, start: (member) => secured.run(member) };
}

describe.each([
  { name: 'in the clear', begin: inTheClear, checked: false, stranger: 'user name is empty' },
  { name: 'with TLS and users', begin: withTls, checked: true, stranger: 'permission denied' },
])('$name', ({ begin, checked, stranger }) => {
  let setting: Setting;
  let client: Etcd3;
  const as = (username: string, password: string): Etcd3 =>
    new Etcd3({ ...setting.options, auth: { username, password } });

  beforeAll(async () => {
    setting = await begin();
    const nobody = new Etcd3(setting.options);
    await nobody.role('root').create();
    await (await nobody.user('root').create(ROOT.password)).addRole('root');
    if (checked) await nobody.auth.authEnable();
    nobody.close();
    client = checked ? as(ROOT.username, ROOT.password) : new Etcd3(setting.options);
  });

  afterAll(async () => {
    client.close();
    await setting.cluster.destroy();
  });

  /** The member that leads now, if one does. */
  async function leader(): Promise<TestMember | undefined> {
    for (const [index, host] of (setting.options.hosts as string[]).entries()) {
      const asked = new Etcd3({ ...setting.options, hosts: host, ...(checked ? { auth: ROOT } : {}) });
      const status = await asked.maintenance.status();
      asked.close();
      const member = setting.cluster.members[index];
      if (member !== undefined && status.leader === status.header.member_id) return member;
    }
    return undefined;
  }

  describe('keys', () => {
    it('are put, read in all forms, and deleted', async () => {
      await client.put('kv/a').value('1');
      await client.put('kv/b').value(Buffer.from([0, 255]));
      await client.put('kv/c').value('3');
      expect(await client.get('kv/a').string()).toBe('1');
      expect(await client.get('kv/a').number()).toBe(1);
      expect(await client.get('kv/b').buffer()).toEqual(Buffer.from([0, 255]));
      expect(await client.get('kv/none').string()).toBeNull();
      expect(await client.get('kv/none').exists()).toBe(false);
      expect(await client.getAll().prefix('kv/').keys()).toEqual(['kv/a', 'kv/b', 'kv/c']);
      expect(await client.getAll().prefix('kv/').sort('Key', 'Descend').limit(2).keys()).toEqual(['kv/c', 'kv/b']);
      expect(await client.getAll().prefix('kv/').count()).toBe(3);
      await client.put('kv/a').touch();
      expect((await client.delete().prefix('kv/').getPrevious()).map(({ value }) => String(value))).toContain('1');
      expect(await client.getAll().prefix('kv/').count()).toBe(0);
    });

    it('keep their history until it is compacted', async () => {
      const { header } = await client.put('old').value('first');
      await client.put('old').value('second');
      expect(await client.get('old').revision(header.revision).string()).toBe('first');
      await client.kv.compact({ revision: String(BigInt(header.revision) + 1n) });
      await expect(client.get('old').revision(header.revision).string()).rejects.toThrow(
        'etcdserver: mvcc: required revision has been compacted',
      );
    });
  });

  describe('transactions', () => {
    it('take one branch or the other', async () => {
      await client.put('txn').value('old');
      const attempt = (expected: string): Promise<{ succeeded: boolean }> =>
        client.if('txn', 'Value', '==', expected).then(client.put('txn').value('new')).else(client.get('txn')).commit();
      expect((await attempt('old')).succeeded).toBe(true);
      expect((await attempt('old')).succeeded).toBe(false);
      expect(await client.get('txn').string()).toBe('new');
    });

    it('run a function again until nobody was in between', async () => {
      await client.put('counter').value(0);
      const increment = (): Promise<unknown> =>
        client
          .stm({ retries: 100 })
          .transact(async (tx) => tx.put('counter').value(((await tx.get('counter').number()) ?? 0) + 1));
      await Promise.all(Array.from({ length: 8 }, increment));
      expect(await client.get('counter').number()).toBe(8);
    });
  });

  describe('leases', () => {
    let lease: Lease;

    it('hold keys as long as they are kept alive, and take them away when revoked', async () => {
      lease = client.lease(5);
      await lease.put('leased').value('here');
      await lease.keepaliveOnce();
      expect(await client.get('leased').string()).toBe('here');
      const { ID, TTL } = await client.leaseClient.leaseTimeToLive({ ID: await lease.grant(), keys: true });
      expect(ID).toBe(await lease.grant());
      expect(Number(TTL)).toBeGreaterThan(0);
      await lease.revoke();
      expect(await client.get('leased').string()).toBeNull();
    });

    it('tell their holder when they are lost', async () => {
      const lost = client.lease(5, { autoKeepAlive: false });
      const told = new Promise((resolve) => lost.once('lost', resolve));
      await client.leaseClient.leaseRevoke({ ID: await lost.grant() });
      await lost.keepaliveOnce().catch(() => undefined);
      await told;
    });
  });

  it('locks exclude each other', async () => {
    const lock = client.lock('mutex');
    await lock.acquire();
    await expect(client.lock('mutex').acquire()).rejects.toThrow('Failed to acquire a lock');
    await lock.release();
    await client
      .lock('mutex')
      .do(() => expect(client.lock('mutex').acquire()).rejects.toThrow('Failed to acquire a lock'));
  });

  it('an election has one leader, and the next follows when it resigns', async () => {
    const election = client.election('office', 5);
    const first = election.campaign('first');
    await new Promise((resolve) => first.once('elected', resolve));
    expect(await election.leader()).toBe('first');
    const second = client.election('office', 5).campaign('second');
    const followed = new Promise((resolve) => second.once('elected', resolve));
    await first.resign();
    await followed;
    expect(await election.leader()).toBe('second');
    await second.resign();
  });

  it('the cluster tells its members and their state', async () => {
    const { members } = await client.cluster.memberList({});
    expect(members.map(({ name }) => name).sort()).toEqual(['n1', 'n2', 'n3']);
    expect(Number((await client.maintenance.status()).dbSize)).toBeGreaterThan(0);
  });

  it('manages users, who reach what their roles say, at any member', async () => {
    const role = await client.role('ann').create();
    await role.grant({ permission: 'Readwrite', range: Range.prefix('ann/') });
    await (await client.user('ann').create('annpw')).addRole(role);
    await expect(client.user('ann').create('annpw')).rejects.toThrow(EtcdUserExistsError);
    expect((await role.permissions()).map(({ permission }) => permission)).toEqual(['Readwrite']);
    if (!checked) await client.auth.authEnable();
    const [ann, root, forger] = [as('ann', 'annpw'), as(ROOT.username, ROOT.password), as('ann', 'wrong')];
    const nobody = new Etcd3(setting.options);
    try {
      await ann.put('ann/x').value('1');
      expect(await ann.getAll().prefix('ann/').strings()).toEqual({ 'ann/x': '1' });
      await expect(ann.put('bob/x').value('1')).rejects.toThrow(EtcdPermissionDeniedError);
      await expect(ann.getAll().strings()).rejects.toThrow(EtcdPermissionDeniedError);
      await expect(forger.get('ann/x')).rejects.toThrow(EtcdAuthenticationFailedError);
      await expect(nobody.get('ann/x')).rejects.toThrow(stranger);
      await root.role('ann').revoke({ permission: 'Readwrite', range: Range.prefix('ann/') });
      await expect(ann.get('ann/x')).rejects.toThrow(EtcdPermissionDeniedError);
    } finally {
      if (!checked) await root.auth.authDisable();
      for (const each of [ann, root, forger, nobody]) each.close();
    }
    expect(await client.get('ann/x').string()).toBe('1');
  });

  it('goes on when the leader is killed: nothing acknowledged is lost, and a watch misses nothing', async () => {
    const seen: string[] = [];
    const watcher = await client.watch().prefix('kill/').create();
    watcher.on('put', ({ key }) => seen.push(key.toString()));
    const dying = await eventually('a leader', leader);
    const acknowledged: string[] = [];
    for (let index = 0; index < 60; index++) {
      if (index === 20) await dying.kill('SIGKILL');
      const key = `kill/${String(index).padStart(2, '0')}`;
      await eventually('a put to be acknowledged', () => succeeds(client.put(key).value('v').exec()));
      acknowledged.push(key);
    }
    expect(await client.getAll().prefix('kill/').keys()).toEqual(acknowledged);
    await eventually('every event', () => new Set(seen).size === acknowledged.length);
    expect([...new Set(seen)]).toEqual(acknowledged);
    await watcher.cancel();
    setting.start(dying);
    await dying.ready();
  });
});
