import { randomBytes } from 'node:crypto';
import { connect as connectPlain } from 'node:net';
import { connect } from 'node:tls';
import { serviceDefinition } from '@synod/contracts';
import { eventually } from '@synod/eventually';
import { GrpcChannels, TlsMaterial, type NamedFile, type TlsFiles } from '@synod/rpc';
import { silentLog } from '@synod/runtime';
import { TestAuthority, type IssuedFiles } from '@synod/test-authority';
import { builtProgram, freePorts, LoggedProcess, synod, whereInstalled } from '@synod/test-processes';
import { Etcdctl } from './etcdctl';
import { CHECK_MS_MAX, checkDataScale, runEveryGroup, type EtcdctlBench } from './etcdctl-groups';
import { TestCluster, type TestMember } from './test-cluster';
import { TlsCluster } from './testing/tls-cluster';

const KV = serviceDefinition('etcdserverpb.KV');
const CLUSTER = serviceDefinition('etcdserverpb.Cluster');
const ORACLE = serviceDefinition('synod.consensus.v1.TimestampOracle');

let secured: TlsCluster;
let cluster: TestCluster;
/** Of clients, and of members among themselves. */
let clients: TestAuthority;
let peers: TestAuthority;
let stranger: TestAuthority;
let ca: string;
let client: IssuedFiles;
const open: { close(): void }[] = [];

function member(index: number): TestMember {
  const found = cluster.members[index];
  if (found === undefined) throw new Error(`no member ${index}`);
  return found;
}

beforeAll(async () => {
  secured = await TlsCluster.start();
  ({ cluster, clients, peers, ca, client } = secured);
  stranger = await TestAuthority.create('stranger');
});

afterAll(async () => {
  for (const each of open) each.close();
  await cluster.destroy();
});

function calling(identity: IssuedFiles | undefined, authority = ca): GrpcChannels {
  const file = (path: string): NamedFile => ({ path, name: path });
  const files: TlsFiles = {
    ca: file(authority),
    ...(identity === undefined ? {} : { identity: { cert: file(identity.cert), key: file(identity.key) } }),
  };
  const material = new TlsMaterial(files, silentLog);
  const channels = new GrpcChannels({}, { material });
  open.push(material, channels);
  return channels;
}

function put(channels: GrpcChannels, { address }: Pick<TestMember, 'address'>): Promise<unknown> {
  const request = { key: Buffer.from('k'), value: Buffer.from('v') };
  return channels.callUnary(address, KV.Put, request, { deadlineMs: 20_000, idempotent: true });
}

describe('three members with TLS on every port', () => {
  it('serve clients with a certificate of their authority, whoever leads', async () => {
    const channels = calling(client);
    for (const each of cluster.members) {
      await put(channels, each);
      // The oracle is asked of the leader over the peers' port.
      const { timestamp } = await channels.callUnary(each.address, ORACLE.GetTimestamp, {}, { deadlineMs: 20_000 });
      expect(BigInt(timestamp)).toBeGreaterThan(0n);
    }
    const { members } = await channels.callUnary(member(0).address, CLUSTER.MemberList, {}, { deadlineMs: 9_000 });
    expect(members.map(({ clientURLs, peerURLs }) => [...clientURLs, ...peerURLs])).toEqual(
      cluster.members.map(({ ports }) => [`https://127.0.0.1:${ports.client}`, `https://127.0.0.1:${ports.peer}`]),
    );
  });

  it('refuse a client without a certificate, with one of another authority, and without TLS', async () => {
    const foreign = await stranger.issue(cluster.folder, 'foreign');
    const plain = new GrpcChannels();
    open.push(plain);
    for (const channels of [calling(undefined), calling(foreign), plain]) {
      await expect(put(channels, member(0))).rejects.toMatchObject({ kind: 'unavailable' });
    }
    await put(calling(client), member(0));
  });

  it('refuse on the port of peers who has no certificate of theirs', async () => {
    const port = { address: `127.0.0.1:${member(0).ports.peer}` };
    const foreign = await stranger.issue(cluster.folder, 'foreign');
    const peersCa = `${cluster.folder}/peers.pem`;
    for (const identity of [undefined, client, foreign]) {
      await expect(put(calling(identity, peersCa), port)).rejects.toMatchObject({ kind: 'unavailable' });
    }
    // One of theirs is let in, to learn that no keys are served there.
    const peer = { cert: `${cluster.folder}/n2-peer.pem`, key: `${cluster.folder}/n2-peer.key` };
    await expect(put(calling(peer, peersCa), port)).rejects.toMatchObject({ kind: 'unimplemented' });
  });

  it('live on when they are sent what is no TLS', async () => {
    const { client: clientPort, peer } = member(0).ports;
    for (const port of [clientPort, peer]) {
      await new Promise<void>((resolve) => {
        const socket = connectPlain(port, '127.0.0.1', () => socket.end(randomBytes(100_000)));
        socket.on('error', () => undefined);
        socket.on('close', () => resolve());
      });
    }
    await put(calling(client), member(0));
  });

  it('take up a renewed certificate without a restart', async () => {
    const before = await serialNumber(member(0));
    await clients.issue(cluster.folder, `${member(0).id}-client`);
    await member(0).logged('changed certificates are in use');
    expect(await serialNumber(member(0))).not.toBe(before);
    await put(calling(client), member(0));
  });

  it('do without a member that has a certificate of another authority, until it has its own again', async () => {
    const lost = member(2);
    await lost.kill('SIGTERM');
    await stranger.issue(cluster.folder, `${lost.id}-peer`);
    secured.run(lost);
    await lost.logged('"message":"listening"');
    const channels = calling(client);
    await put(channels, member(0));
    expect(lost.log).not.toContain('"message":"ready"');
    await peers.issue(cluster.folder, `${lost.id}-peer`);
    await lost.ready();
    await put(channels, lost);
  });
});

whereInstalled('etcdctl', 'etcdctl over TLS', () => {
  const etcdctl = new Etcdctl(() => cluster.members.filter(({ runs }) => runs).map(urlOf));
  const urlOf = ({ address }: TestMember): string => `https://${address}`;
  const as = ({ cert, key }: IssuedFiles): Etcdctl => etcdctl.with('--cacert', ca, '--cert', cert, '--key', key);

  /** etcdctl as one user towards the members that run. */
  function benchOf(identity: IssuedFiles): EtcdctlBench {
    return {
      etcdctl: as(identity),
      endpoints: cluster.members.filter(({ runs }) => runs).map(urlOf),
      mirrorFlags: ['--dest-cacert', ca, '--dest-cert', identity.cert, '--dest-key', identity.key],
      folder: cluster.folder,
      usersAreChecked: true,
    };
  }

  it('is answered, and only with a certificate', async () => {
    expect(await as(client).said('put', 'a', '1')).toBe('OK\n');
    expect(await as(client).said('get', 'a')).toBe('a\n1\n');
    expect((await as(client).said('endpoint', 'health', '--cluster')).match(/is healthy/g)).toHaveLength(3);
    const anonymous = etcdctl.with('--cacert', ca, '--command-timeout=2s', '--dial-timeout=2s');
    expect(await anonymous.said('get', 'a')).toMatch(/DEADLINE|deadline exceeded|certificate/i);
  });

  it(
    'is who its certificate says once users are checked, in every group of commands, also when the leader is killed',
    async () => {
      const [root, ann, nobody] = (await Promise.all(
        ['root', 'ann', 'nobody'].map((name) => clients.issue(cluster.folder, name)),
      )) as [IssuedFiles, IssuedFiles, IssuedFiles];
      for (const words of [
        'user add root:rootpw',
        'role add root',
        'user grant-role root root',
        'user add ann --no-password',
        'role add ann',
        'role grant-permission ann --prefix=true readwrite ann/',
        'user grant-role ann ann',
        'auth enable',
      ])
        await as(client).text(...words.split(' '));
      expect(await as(ann).said('put', 'ann/x', '1')).toBe('OK\n');
      expect(await as(ann).said('put', 'x', '1')).toContain('etcdserver: permission denied');
      expect(await as(nobody).said('get', 'ann/x')).toContain('etcdserver: permission denied');
      // A password says more than a certificate.
      expect(await as(ann).said('--user', 'root:rootpw', 'put', 'x', '1')).toBe('OK\n');
      await runEveryGroup(benchOf(root), 'all-up');
      // It holds the certificate of its pages against the system's authorities alone.
      await checkDataScale({ ...benchOf(root), etcdctl: as(root).with('--insecure-skip-tls-verify') });
      const { endpoint } = await as(root).leading();
      const leader = cluster.members.find((each) => urlOf(each) === endpoint)!;
      const putting = (async () => {
        let acknowledged = 0;
        await eventually('ten puts to be acknowledged', async () => {
          const said = await as(ann).said('put', `ann/${acknowledged}`, 'x');
          if (said === 'OK\n') acknowledged++;
          else
            expect(said).toMatch(
              /etcdserver: (request timed out|no leader|leader changed)|deadline exceeded|connection|EOF/i,
            );
          return acknowledged === 10;
        });
      })();
      await Promise.all([leader.kill('SIGKILL'), putting]);
      await runEveryGroup(benchOf(root), 'one-down');
      secured.run(leader);
      await leader.ready();
      const found = await as(ann).said('get', 'ann/', '--prefix', '--keys-only');
      for (let index = 0; index < 10; index++) expect(found).toContain(`ann/${index}\n`);
      expect(await as(root).said('auth', 'disable')).toBe('Authentication Disabled\n');
    },
    240_000 + CHECK_MS_MAX,
  );
});

it('the other services and synod reach them with a certificate', async () => {
  const [port = 0, peerPort = 0, http = 0] = await freePorts(3);
  const storage = new LoggedProcess('s1', {
    program: builtProgram('storage-shard'),
    flags: [
      ...['--node-id', 's1', '--data-dir', `${cluster.folder}/s1`, '--consensus', cluster.endpoints.join()],
      ...['--listen', `127.0.0.1:${port}`, '--peer-listen', `127.0.0.1:${peerPort}`],
      ...['--http-listen', `127.0.0.1:${http}`],
      ...['--consensus-ca-file', ca, '--consensus-cert-file', client.cert, '--consensus-key-file', client.key],
    ],
  });
  try {
    // The member that leads places the shards once it has seen the storage node.
    await Promise.race(cluster.members.map((each) => each.logged('every shard gets a single replica')));
    const certificate = ['--cacert', ca, '--cert', client.cert, '--key', client.key];
    const { said } = await synod(['status', '--endpoints', cluster.endpoints.join(), ...certificate]);
    expect(said).toMatch(/^storage-shard +s1 /m);
  } finally {
    await storage.end('SIGKILL');
  }
});

it('a certificate that cannot be used ends the start with one line and exit code 2', async () => {
  const single = await TestCluster.plan(1);
  const [alone] = single.members;
  alone?.start(['--cert-file', client.cert, '--key-file', `${single.folder}/none.key`]);
  expect(await alone?.ended()).toBe(2);
  expect(alone?.log).toBe(`error: --key-file ${single.folder}/none.key cannot be read: there is no such file`);
  await single.destroy();
});

/** Of the certificate that a member shows its clients. */
function serialNumber({ ports }: TestMember): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: ports.client, ca: clients.pem, ALPNProtocols: ['h2'] }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}
