import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { GrpcChannels } from '@synod/rpc';
import { DATA_FOLDER } from '../src/data-format';
import { restoreSnapshot } from '../src/snapshot-restore';
import { snapshotStatus } from '../src/snapshot-status';
import { Keeper, keptFolders, pack, SMALL_LOG, unpack, type Contents } from './kept-folders';
import { TestCluster, type TestMember } from './test-cluster';

/** `SYNOD_KEEP_FOLDERS=NAME` keeps what this release writes, as NAME-single, NAME-trio and NAME-caught-up: once for each change of a format. */
const KEEP = process.env['SYNOD_KEEP_FOLDERS'];

/** Of all records that `testdata/snapshot-1.gz` had when it was kept. */
const SNAPSHOT_HASH = 'c235582a';

const channels = new GrpcChannels();
const clusters: TestCluster[] = [];

async function planned(size: number): Promise<TestCluster> {
  const cluster = await TestCluster.plan(size);
  clusters.push(cluster);
  return cluster;
}

const at = ({ members }: TestCluster, index: number): TestMember => members[index]!;

afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.destroy();
});
afterAll(() => channels.close());

/** Killed, not stopped: the store is behind the log. */
async function killed({ members }: TestCluster): Promise<void> {
  await Promise.all(members.map((member) => member.kill('SIGKILL')));
}

async function filledSingle(cluster: TestCluster): Promise<Contents> {
  const member = at(cluster, 0);
  member.start(SMALL_LOG);
  await cluster.ready();
  const keeper = new Keeper(channels, member);
  await keeper.fill();
  await keeper.changeMembers();
  await keeper.enableAuth();
  await keeper.overwrite();
  const contents = await keeper.contents();
  await killed(cluster);
  return contents;
}

/** The third member misses what the others have cut from their logs. */
async function filledTrio(cluster: TestCluster): Promise<Contents> {
  for (const member of cluster.members) member.start(SMALL_LOG);
  await cluster.ready();
  const keeper = new Keeper(channels, at(cluster, 0));
  await keeper.fill();
  await at(cluster, 2).kill('SIGKILL');
  await keeper.overwrite();
  const contents = await keeper.contents();
  await killed(cluster);
  return contents;
}

/** Lease reads are on, users are checked, and the third member has installed a snapshot. */
async function filledCaughtUp(cluster: TestCluster): Promise<Contents> {
  const flags = [...SMALL_LOG, '--lease-reads'];
  for (const member of cluster.members) member.start(flags);
  await cluster.ready();
  const keeper = new Keeper(channels, at(cluster, 0));
  const third = at(cluster, 2);
  await keeper.fill();
  await third.kill('SIGKILL');
  await keeper.overwrite();
  third.start(flags);
  await third.logged('installed a snapshot');
  await third.logged('"message":"ready"');
  await keeper.enableAuth();
  const contents = await keeper.contents();
  await killed(cluster);
  return contents;
}

async function opened(cluster: TestCluster): Promise<void> {
  for (const member of cluster.members) member.start(SMALL_LOG);
  await cluster.ready();
}

/** By each member, from its own state once that is as far. */
async function expectContents(cluster: TestCluster, contents: Contents): Promise<void> {
  for (const member of cluster.members)
    expect(await new Keeper(channels, member).contents(contents.revision)).toEqual(contents);
}

const KINDS = [
  ['single', 1, filledSingle],
  ['trio', 3, filledTrio],
  ['caught-up', 3, filledCaughtUp],
] as const;

it.each(KEEP === undefined ? [KINDS[0]] : KINDS)(
  'finds again what this release wrote before it was killed (%s)',
  async (kind, members, filled) => {
    const cluster = await planned(members);
    const contents = await filled(cluster);
    expect(contents.compacted).toBe('etcdserver: mvcc: required revision has been compacted');
    if (KEEP !== undefined) pack({ name: `${KEEP}-${kind}`, members, contents }, cluster);
    await opened(cluster);
    await expectContents(cluster, contents);
  },
);

it.each(keptFolders())('opens the data folders $name of an earlier release', async (kept) => {
  const cluster = await planned(kept.members);
  unpack(kept, cluster);
  await opened(cluster);
  await expectContents(cluster, kept.contents);
  // It goes on from there, and what is written now is found again as well.
  await new Keeper(channels, at(cluster, 0)).contents();
  await killed(cluster);
  await opened(cluster);
  await expectContents(cluster, kept.contents);
});

it('reads a snapshot that an earlier release saved, and restores it', async () => {
  const kept = keptFolders().find(({ name }) => name === 'format-1-single')!;
  const cluster = await planned(1);
  const file = `${cluster.folder}.snapshot-1`;
  writeFileSync(file, gunzipSync(readFileSync(path.join(__dirname, '../testdata/snapshot-1.gz'))));
  rmSync(cluster.folder, { recursive: true });
  try {
    const { revision } = kept.contents;
    expect(await snapshotStatus(file)).toMatchObject({ release: '0.1.0', revision, hash: SNAPSHOT_HASH });
    const members = [at(cluster, 0).id];
    await restoreSnapshot({ file, folder: cluster.folder, members, bumpRevision: 0n, markCompacted: false });
  } finally {
    rmSync(file);
  }
  await opened(cluster);
  await expectContents(cluster, kept.contents);
});

it('refuses the folder of a newer release, with the reason, and leaves it as it is', async () => {
  const cluster = await planned(1);
  const { folder, id } = at(cluster, 0);
  mkdirSync(folder);
  const file = path.join(folder, 'VERSION');
  const format = DATA_FOLDER.format + 1;
  writeFileSync(file, JSON.stringify({ ...DATA_FOLDER, format, nodeId: id, incarnation: '0123456789abcdef' }));
  const before = readFileSync(file, 'utf8');
  at(cluster, 0).start();
  expect(await at(cluster, 0).ended()).toBe(1);
  expect(at(cluster, 0).log).toContain(
    `has format ${format}, this release reads ${DATA_FOLDER.format}; start the release that wrote it`,
  );
  expect(readFileSync(file, 'utf8')).toBe(before);
});
