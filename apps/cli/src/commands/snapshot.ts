import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { Command, InvalidArgumentError, Option } from 'commander';
import { serviceDefinition } from '@synod/contracts';
import { GrpcChannels, statusOf, TlsMaterial } from '@synod/rpc';
import { silentLog, SynodError } from '@synod/runtime';
import { NODE_ID } from '@synod/service-kit';
import { UsageError } from '../failure';
import { PROGRAMS } from '../foreground';
import { table } from '../format';
import { credentialsOf, endpointsOf, tlsOf, withEndpoints, type EndpointOptions } from '../session';

const DIGEST_BYTES = 32;

interface SaveOptions extends EndpointOptions {
  readonly dataDir?: string;
  readonly withoutLog?: boolean;
}

/** What the program of the consensus service tells of a folder that it saved. */
interface SavedFolder {
  readonly member: string;
  readonly revision: string;
  readonly round: number;
  readonly instance: number;
  readonly fromLog: number;
  readonly unconfirmed: number;
  readonly removed: boolean;
  readonly harm?: string;
  readonly sizeBytes: number;
}

interface RestoreOptions {
  readonly data: string;
  readonly consensus: string;
  readonly members?: string;
  readonly bumpRevision: string;
  readonly markCompacted?: boolean;
}

export function snapshotCommand(): Command {
  const snapshot = new Command('snapshot').description(
    'Save the coordination keys to a file, and start anew from one.',
  );
  snapshot.addCommand(
    withEndpoints(new Command('save'))
      .description('write a snapshot of one consensus member; etcdctl snapshot save does the same')
      .argument('<file>', 'must not exist')
      .addOption(
        new Option(
          '--data-dir <folder>',
          'of a consensus member that does not run, in place of one that does: when a majority is gone for good',
        ).conflicts(['endpoints', 'credentials', 'cacert', 'cert', 'key']),
      )
      .option('--without-log', 'with --data-dir: only what its store holds, where its log is harmed')
      .action((file: string, options: SaveOptions) => save(file, options)),
  );
  snapshot.addCommand(
    new Command('status')
      .description('check a snapshot and show what is in it')
      .argument('<file>')
      .option('--json', 'one JSON object')
      .action((file: string, { json }: { readonly json?: boolean }) => status(file, json === true)),
  );
  snapshot.addCommand(
    new Command('restore')
      .description('make the data folders of a new consensus cluster out of a snapshot')
      .argument('<file>')
      .requiredOption('--data <folder>', 'must not exist; gets a data folder for each member')
      .option('--consensus <count>', 'members, named as synod up names them', '3')
      .option('--members <names>', 'names of the members instead, n1,n2,n3, for --node-id')
      .option('--bump-revision <count>', 'add this to the revision, so that no client sees it go back', count, '0')
      .option('--mark-compacted', 'with --bump-revision: give up all states before, so that watches from them are told')
      .action((file: string, options: RestoreOptions) => restore(file, options)),
  );
  return snapshot;
}

async function save(file: string, { dataDir, withoutLog = false, ...options }: SaveOptions): Promise<void> {
  if (withoutLog && dataDir === undefined) throw new UsageError('--without-log needs a --data-dir');
  const told = await whole(file, (handle, part) =>
    dataDir === undefined ? saveServed(handle, options) : saveFolder(part, dataDir, withoutLog),
  );
  process.stdout.write(`saved ${file}, ${told}\n`);
}

/** Fills a new file under another name: it appears whole or not at all, over neither an older snapshot nor somebody else's beginning. */
async function whole<T>(file: string, fill: (handle: FileHandle, part: string) => Promise<T>): Promise<T> {
  const part = `${file}.part`;
  await (await open(file, 'wx')).close();
  const handle = await open(part, 'w').catch(async (error: unknown) => {
    await rm(file, { force: true });
    throw error;
  });
  try {
    const filled = await fill(handle, part);
    await handle.sync();
    await rename(part, file);
    return filled;
  } catch (error) {
    await Promise.all([rm(file, { force: true }), rm(part, { force: true })]);
    throw error;
  } finally {
    await handle.close();
  }
}

async function saveServed(handle: FileHandle, options: EndpointOptions): Promise<string> {
  const [endpoint = ''] = endpointsOf(options);
  const { Snapshot } = serviceDefinition('etcdserverpb.Maintenance');
  const files = tlsOf(options);
  const material = files && new TlsMaterial(files, silentLog);
  const channels = new GrpcChannels({}, material && { material });
  try {
    const metadata = await tokenFor(channels, endpoint, options);
    const digest = createHash('sha256');
    let held = Buffer.alloc(0);
    let size = 0;
    for await (const { blob } of channels.callServerStream(endpoint, Snapshot, {}, { metadata })) {
      await handle.write(blob);
      size += blob.length;
      // The digest at the end is not of itself.
      held = Buffer.concat([held, blob]);
      digest.update(held.subarray(0, Math.max(0, held.length - DIGEST_BYTES)));
      held = Buffer.from(held.subarray(Math.max(0, held.length - DIGEST_BYTES)));
    }
    if (!held.equals(digest.digest())) throw new SynodError('corrupt', 'what arrived is not what was sent');
    return `${size} bytes from ${endpoint}`;
  } catch (error) {
    const failure = statusOf(error);
    throw failure === undefined
      ? error
      : new SynodError('unavailable', `${endpoint}: ${failure.details}`, { cause: error });
  } finally {
    channels.close();
    material?.close();
  }
}

async function saveFolder(file: string, folder: string, withoutLog: boolean): Promise<string> {
  const saved = await runTool({ kind: 'save-folder', folder, file, withoutLog });
  const { member, revision, round, instance, fromLog, unconfirmed, removed, harm, sizeBytes } =
    saved as unknown as SavedFolder;
  if (harm !== undefined) process.stderr.write(`warning: while it ran, ${member} had found: ${harm}\n`);
  if (removed) process.stderr.write(`warning: the cluster had removed ${member}, and may have gone on without it\n`);
  const log = fromLog === 0 ? '' : `; instances from its log: ${fromLog}, by its vote alone: ${unconfirmed}`;
  return `${sizeBytes} bytes from ${folder}: ${member} at revision ${revision}, round ${round}, instance ${instance}${log}`;
}

/** Where users are checked, a snapshot is for administrators. */
async function tokenFor(
  channels: GrpcChannels,
  endpoint: string,
  options: EndpointOptions,
): Promise<Readonly<Record<string, string>>> {
  const credentials = credentialsOf(options);
  if (credentials === undefined) return {};
  const { Authenticate } = serviceDefinition('etcdserverpb.Auth');
  const { user: name, password } = credentials;
  try {
    const { token } = await channels.callUnary(endpoint, Authenticate, { name, password }, { deadlineMs: 10_000 });
    return { token };
  } catch (error) {
    if (statusOf(error)?.details === 'etcdserver: authentication is not enabled') return {};
    throw error;
  }
}

async function status(file: string, json: boolean): Promise<void> {
  const found = await runTool({ kind: 'status', file });
  if (json) process.stdout.write(`${JSON.stringify(found)}\n`);
  else process.stdout.write(table(Object.entries(found).map(([name, value]) => [name, String(value)])));
}

async function restore(file: string, options: RestoreOptions): Promise<void> {
  const { bumpRevision, markCompacted = false } = options;
  if (markCompacted && bumpRevision === '0') throw new UsageError('--mark-compacted needs a --bump-revision above 0');
  const members = membersOf(options);
  const outcome = await runTool({ kind: 'restore', file, folder: options.data, members, bumpRevision, markCompacted });
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}

function membersOf({ members, consensus }: RestoreOptions): string[] {
  const count = Number(consensus);
  const names = members?.split(',') ?? Array.from({ length: count }, (_, index) => `consensus-${index + 1}`);
  const wellNamed = names.every((name) => NODE_ID.test(name));
  if (!wellNamed || new Set(names).size < names.length || ![1, 3, 5, 7].includes(names.length)) {
    throw new UsageError('1, 3, 5 or 7 members are wanted, each with a name of its own');
  }
  return names;
}

/** The format belongs to the consensus service: a program of it does the work. */
async function runTool(job: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>> {
  const program = path.join(PROGRAMS, 'consensus', 'snapshot-main.js');
  const child = spawn(process.execPath, [program, JSON.stringify(job)], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
  const [output, complaint, { code, signal }] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  // LMDB ends its process so when it stumbles over a page that is not what it was.
  if (signal !== null)
    throw new Error(`reading ended with ${signal}: the store is harmed, or the disk does not give it`);
  if (code !== 0) throw new Error(complaint.replace(/^error: /, '') || `${program} ended with ${code}`);
  return JSON.parse(output) as Record<string, unknown>;
}

function count(given: string): string {
  if (!/^\d{1,18}$/.test(given)) throw new InvalidArgumentError('a whole number is wanted');
  return given;
}
