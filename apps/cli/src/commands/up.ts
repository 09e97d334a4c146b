import path from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Service } from '@synod/coordination';
import { lockFolder, SynodError } from '@synod/runtime';
import {
  addressesOf,
  DEFAULT_PORT_BASE,
  DEFAULT_SHAPE,
  firstTakenPort,
  fixedPorts,
  planCluster,
  planOf,
  Supervisor,
  type ClusterPlan,
} from '@synod/launcher';
import { PROGRAMS, reportEvent, runInForeground, stopRequested } from '../foreground';

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
    .action((options: UpOptions) => up(options));
}

async function up(options: UpOptions): Promise<void> {
  const folder = path.resolve(options.data);
  const lock = await lockFolder(folder);
  try {
    const plan = await planOf(folder, () => Promise.resolve(freshPlan(options)));
    await refuseTakenPorts(plan);
    const { restart } = options;
    const supervisor = new Supervisor({ plan, folder, programs: PROGRAMS, restart, report: reportEvent });
    await runInForeground(supervisor, stopRequested(), {
      onReady: () => process.stdout.write(`${JSON.stringify(readyLine(supervisor, plan))}\n`),
    });
  } finally {
    await lock.release();
  }
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

async function refuseTakenPorts(plan: ClusterPlan): Promise<void> {
  const taken = await firstTakenPort(
    plan.processes.flatMap(({ ports }) => [
      ports.client,
      ports.http,
      ...(ports.peer === undefined ? [] : [ports.peer]),
    ]),
  );
  if (taken === undefined) return;
  const owner = plan.processes.find(({ ports }) => Object.values(ports).includes(taken));
  throw new SynodError(
    'failed-precondition',
    `port ${taken} (${owner?.id ?? ''}) is in use by another program; stop it, or use --port-base with a new --data folder`,
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
