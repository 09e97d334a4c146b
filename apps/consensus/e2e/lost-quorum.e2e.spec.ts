import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { serviceDefinition } from '@synod/contracts';
import { GrpcChannels, TlsMaterial } from '@synod/rpc';
import { silentLog } from '@synod/runtime';
import { synod, type Finished } from '@synod/test-processes';
import { snapshotOfFolder } from '../src/snapshot-of-folder';
import { restoreSnapshot } from '../src/snapshot-restore';
import { snapshotStatus } from '../src/snapshot-status';
import { Keeper, keptFolders, unpack, type Contents } from './kept-folders';
import { TestCluster, type TestMember } from './test-cluster';
import { TlsCluster } from './testing/tls-cluster';

const AUTH = serviceDefinition('etcdserverpb.Auth');

const plain = new GrpcChannels();
const clusters: TestCluster[] = [];
afterAll(async () => {
  for (const cluster of clusters) await cluster.destroy();
  plain.close();
});

/** Runs `synod snapshot …`. */
const snapshot = (...args: string[]): Promise<Finished> => synod(['snapshot', ...args]);

/** Every file of a folder, by what is in it. */
function digests(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => path.join(parentPath, name))
    .map((file) => `${path.relative(folder, file)} ${createHash('sha256').update(readFileSync(file)).digest('hex')}`)
    .sort();
}

/** What a new cluster of one shows that was made of a snapshot. */
async function restored(file: string, revision: string): Promise<Contents> {
  const cluster = await TestCluster.plan(1);
  clusters.push(cluster);
  rmSync(cluster.folder, { recursive: true });
  const members = cluster.members.map(({ id }) => id);
  await restoreSnapshot({ file, folder: cluster.folder, members, bumpRevision: 0n, markCompacted: false });
  const member = cluster.members[0]!;
  member.start();
  await cluster.ready();
  return new Keeper(plain, member).contents(revision);
}

describe('two of three members that are gone for good, with users checked', () => {
  let secured: TlsCluster;
  let survivor: TestMember;
  let contents: Contents;
  let served: string;
  const fileOf = (name: string): string => path.join(secured.cluster.folder, name);
  const complaint = (folder: string, withoutLog = false): Promise<string> =>
    snapshotOfFolder({ folder, file: fileOf('never'), withoutLog }).then(
      () => 'saved',
      (error: Error) => error.message.replaceAll(folder, 'FOLDER'),
    );

  beforeAll(async () => {
    secured = await TlsCluster.start();
    clusters.push(secured.cluster);
    survivor = secured.cluster.members[2]!;
    const { ca, client } = secured;
    const file = (path: string) => ({ path, name: path });
    const identity = { cert: file(client.cert), key: file(client.key) };
    const material = new TlsMaterial({ ca: file(ca), identity }, silentLog);
    const channels = new GrpcChannels({}, { material });
    const keeper = new Keeper(channels, survivor);
    await keeper.fill();
    // Named by its certificate: no majority has to hear of a token.
    await keeper.call(AUTH.UserAdd, { name: 'client', options: { noPassword: true } });
    await keeper.call(AUTH.UserGrantRole, { user: 'client', role: 'root' });
    await keeper.enableAuth();
    await keeper.overwrite();
    contents = await keeper.contents();
    channels.close();
    material.close();
    await Promise.all(secured.cluster.members.slice(0, 2).map((member) => member.kill('SIGKILL')));
  });

  it('do not keep the third from serving a snapshot to an administrator with a certificate', async () => {
    const { ca, client } = secured;
    served = fileOf('served');
    const identity = ['--cacert', ca, '--cert', client.cert, '--key', client.key];
    const { said, code } = await snapshot('save', served, '--endpoints', survivor.address, ...identity);
    expect({ said, code }).toEqual({ said: expect.stringMatching(/^saved .* bytes from 127/) as string, code: 0 });
    expect(BigInt((await snapshotStatus(served)).revision)).toBeGreaterThanOrEqual(BigInt(contents.revision));
  });

  it('leave the folder of the third alone while that runs', async () => {
    const { said, code } = await snapshot('save', fileOf('early'), '--data-dir', survivor.folder);
    expect(said).toMatch(/^error: .*n3 belongs to a member that runs: save from that, .*in use by process \d+/);
    expect(code).toBe(1);
    expect(readdirSync(secured.cluster.folder)).not.toContain('early');
  });

  it('lose nothing that the third had applied: its folder is saved without anybody, and stays as it is', async () => {
    await survivor.kill('SIGKILL');
    rmSync(path.join(survivor.folder, 'LOCK'));
    const before = digests(survivor.folder);
    const file = fileOf('saved');
    const { said, code } = await snapshot('save', file, '--data-dir', survivor.folder);
    expect({ said, code }).toEqual({
      said: expect.stringMatching(/^saved .* bytes from .*n3: n3 at revision \d+, round \d+, instance \d+/) as string,
      code: 0,
    });
    expect(digests(survivor.folder)).toEqual(before);
    expect(readdirSync(secured.cluster.folder).filter((name) => name.startsWith('saved'))).toEqual(['saved']);
    const { hash, revision, keys, versions, leases } = await snapshotStatus(served);
    expect(await snapshotStatus(file)).toMatchObject({ member: 'n3', hash, revision, keys, versions, leases });
    expect(await restored(file, contents.revision)).toEqual(contents);
  });

  it('are told what of a folder cannot be read', async () => {
    const copy = fileOf('copy');
    cpSync(survivor.folder, copy, { recursive: true });
    const version = JSON.parse(readFileSync(path.join(copy, 'VERSION'), 'utf8')) as object;
    const being = (change: object): void =>
      writeFileSync(path.join(copy, 'VERSION'), JSON.stringify({ ...version, ...change }));

    being({ service: 'storage-shard' });
    expect(await complaint(copy)).toMatch(/^FOLDER is a data folder of storage-shard, not of consensus/);
    being({ format: 9 });
    expect(await complaint(copy)).toBe('FOLDER has format 9, this release reads 1; start the release that wrote it');
    being({ settingAside: 'harmed-1' });
    expect(await complaint(copy)).toMatch(/^FOLDER is being set aside: a part of what it held is in FOLDER.harmed-1/);
    being({});
    expect(await complaint(fileOf('nowhere'))).toBe('FOLDER has no VERSION: it is not a data folder');

    const segment = readdirSync(path.join(copy, 'wal')).sort()[0] ?? '';
    const log = readFileSync(path.join(copy, 'wal', segment));
    log.writeUInt8(log.readUInt8(300) ^ 1, 300);
    writeFileSync(path.join(copy, 'wal', segment), log);
    expect(await complaint(copy)).toMatch(
      new RegExp(`^write-ahead log: .*${segment}.* offset \\d+.*--without-log saves what the store holds`),
    );
    expect(await complaint(copy, true)).toBe('saved');
    expect((await snapshotStatus(fileOf('never'))).member).toBe('n3');

    const store = path.join(copy, 'store/data.mdb');
    writeFileSync(store, readFileSync(store).subarray(0, 6_000));
    expect(await complaint(copy, true)).toMatch(/^store: FOLDER.store.data\.mdb is corrupt at offset \d+/);
    rmSync(store);
    expect(await complaint(copy)).toBe('FOLDER/store holds no store: nothing was applied here, or it is lost');
  });
});

it('a folder whose store is behind its log when the process is killed is saved with what the log has above', async () => {
  const kept = keptFolders().find(({ name }) => name === 'format-1-single')!;
  const cluster = await TestCluster.plan(1);
  clusters.push(cluster);
  unpack(kept, cluster);
  const file = path.join(cluster.folder, 'saved');
  const folder = cluster.members[0]!.folder;
  const saved = await snapshotOfFolder({ folder, file, withoutLog: false });
  expect(saved.fromLog).toBeGreaterThan(0);
  expect(saved).toMatchObject({ revision: kept.contents.revision, removed: false });
  expect(await restored(file, kept.contents.revision)).toEqual(kept.contents);
});
