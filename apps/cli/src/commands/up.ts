import path from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { SERVICES, type Service } from '@synod/coordination';
import { lockFolder, type FolderLock } from '@synod/runtime';
import {
  addressesOf,
  DEFAULT_PORT_BASE,
  DEFAULT_SHAPE,
  fixedPorts,
  planCluster,
  planOf,
  refuseTakenPorts,
  Supervisor,
  type ClusterPlan,
} from '@synod/launcher';
import { PROGRAMS, reportEvent, runInForeground, serviceLock, stopRequested } from '../foreground';

/** How long a whole cluster may take to become healthy. */
const READY_MS = 120_000;

interface UpOptions {
  readonly data: string;
  readonly consensus: string;
  readonly storage: number;
  readonly coordinators: number;
  readonly masters: number;
  readonly workers: number;
  readonly portBase?: number;
  readonly restart: boolean;
}

export function upCommand(): Command {
  return new Command('up')
    .description('Run a whole cluster in the foreground, one process per node, on loopback ports.')
    .requiredOption('--data <folder>', 'where ids, ports, logs and all data live; later starts resume from it')
    .addOption(new Option('--consensus <count>', 'consensus members').choices(['1', '3', '5']).default('3'))
    .option('--storage <count>', 'storage nodes', count, DEFAULT_SHAPE['storage-shard'])
    .option('--coordinators <count>', 'transaction coordinators', count, DEFAULT_SHAPE['txn-coordinator'])
    .option('--masters <count>', 'MapReduce masters', count, DEFAULT_SHAPE['mapreduce-master'])
    .option('--workers <count>', 'MapReduce workers', count, DEFAULT_SHAPE['mapreduce-worker'])
    .option('--port-base <port>', `move all ports so that this takes the place of ${DEFAULT_PORT_BASE}`, port)
    .option('--no-restart', 'leave down what dies')
    .action((options: UpOptions, command: Command) => up(options, command));
}

async function up(options: UpOptions, command: Command): Promise<void> {
  const folder = path.resolve(options.data);
  const locks = await lockCluster(folder);
  try {
    const fresh = freshPlan(options);
    const plan = await planOf(folder, async () => {
      // Before anything is written: the folder is still free for another --port-base.
      await refuseTakenPorts(fresh.processes);
      return fresh;
    });
    nameUnheeded(folder, plan, fresh, command);
    await refuseTakenPorts(plan.processes);
    const { restart } = options;
    const supervisor = new Supervisor({ plan, folder, programs: PROGRAMS, restart, report: reportEvent });
    await runInForeground(supervisor, stopRequested(), {
      readyMs: READY_MS,
      onReady: () => process.stdout.write(`${JSON.stringify(readyLine(supervisor, plan))}\n`),
    });
  } finally {
    await Promise.all(locks.map((lock) => lock.release()));
  }
}

/** Keeps out another `up` on the folder, and every `serve`. */
async function lockCluster(folder: string): Promise<FolderLock[]> {
  const locks: FolderLock[] = [];
  try {
    for (const name of ['synod.lock', ...SERVICES.map(serviceLock)]) locks.push(await lockFolder(folder, name));
    return locks;
  } catch (error) {
    await Promise.all(locks.map((lock) => lock.release()));
    throw error;
  }
}

/** A cluster keeps the shape and the ports of its first start: says so if the command line asks for others. */
function nameUnheeded(folder: string, plan: ClusterPlan, asked: ClusterPlan, command: Command): void {
  const flags: readonly (readonly [option: string, flag: string, service: Service])[] = [
    ['consensus', '--consensus', 'consensus'],
    ['storage', '--storage', 'storage-shard'],
    ['coordinators', '--coordinators', 'txn-coordinator'],
    ['masters', '--masters', 'mapreduce-master'],
    ['workers', '--workers', 'mapreduce-worker'],
  ];
  const given = (option: string): boolean => command.getOptionValueSource(option) === 'cli';
  const unheeded = flags
    .filter(([option, , service]) => given(option) && countOf(plan, service) !== countOf(asked, service))
    .map(([, flag]) => flag);
  if (given('portBase') && addressesOf(plan, 'consensus')[0] !== addressesOf(asked, 'consensus')[0]) {
    unheeded.push('--port-base');
  }
  if (unheeded.length === 0) return;
  process.stderr.write(
    `not heeded: ${unheeded.join(', ')}: ${path.join(folder, 'cluster.json')} keeps what the first start chose; use another --data folder\n`,
  );
}

function countOf(plan: ClusterPlan, wanted: Service): number {
  return plan.processes.filter(({ service }) => service === wanted).length;
}

function freshPlan(options: UpOptions): ClusterPlan {
  return planCluster(
    {
      consensus: Number(options.consensus),
      'storage-shard': options.storage,
      'txn-coordinator': options.coordinators,
      'mapreduce-master': options.masters,
      'mapreduce-worker': options.workers,
    },
    fixedPorts(options.portBase ?? DEFAULT_PORT_BASE),
  );
}

function readyLine(supervisor: Supervisor, plan: ClusterPlan): Record<string, unknown> {
  const of = (service: Service): string[] => addressesOf(plan, service);
  return {
    ready: true,
    consensus: of('consensus'),
    storage: of('storage-shard'),
    coordinators: of('txn-coordinator'),
    masters: of('mapreduce-master'),
    workers: of('mapreduce-worker'),
    processes: supervisor.running(),
  };
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 99)
    throw new InvalidArgumentError('a whole number from 1 to 99');
  return value;
}

function port(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1024 || value > 60_000) {
    throw new InvalidArgumentError('a port from 1024 to 60000');
  }
  return value;
}
