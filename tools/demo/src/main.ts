import path from 'node:path';
import { Command } from 'commander';
import { connect } from '@synod/client';
import { showCoordination } from './coordination';
import { collectCorpus } from './corpus';
import { DemoCluster } from './demo-cluster';
import { loadText } from './load';
import { showMapReduce } from './map-reduce';
import { Report } from './report';
import { summary } from './summary';
import { showTransfers } from './transfers';

const READY_MS = 90_000;

interface Options {
  readonly json?: boolean;
  readonly input?: string;
}

/** Starts a cluster, lets it do everything that Synod is for while processes are killed, and checks what came of it. */
async function main(): Promise<void> {
  const program = new Command('demo')
    .description('A whole cluster doing its job on real input while nodes are being killed.')
    .option('--json', 'one line of JSON on standard output; progress goes to standard error')
    .option('--input <folder>', 'use these files instead of the texts below node_modules')
    // Commander would end with 1, which means here that a check failed.
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
    .parse();
  const options = program.opts<Options>();
  const progress = options.json === true ? process.stderr : process.stdout;
  const report = new Report((text) => void progress.write(text));
  const cluster = await DemoCluster.create((text) => report.say(text));
  const removed = removeOnEnd(cluster);
  try {
    await run(report, cluster, options.input);
  } catch (error) {
    if (removed.stopping) return;
    report.check('the demo ran to its end', false, error instanceof Error ? error.message : String(error));
  } finally {
    await removed.remove();
  }
  if (options.json === true)
    process.stdout.write(`${JSON.stringify({ checks: report.checks, phases: report.phases })}\n`);
  else report.say(`\n${report.ok ? 'Every check holds.' : 'SOME CHECK FAILED.'}`);
  process.exit(report.ok ? 0 : 1);
}

async function run(report: Report, cluster: DemoCluster, input: string | undefined): Promise<void> {
  const corpus = path.join(cluster.folder, 'corpus');
  const from = input ?? path.resolve(__dirname, '../../../node_modules');
  const names = await collectCorpus(from, corpus, input !== undefined);

  await report.phase('Starting a cluster: 3 consensus, 3 storage, 2 coordinators, 1 master, 3 workers', async () => {
    await cluster.supervisor.start();
    await cluster.supervisor.ready(READY_MS);
    const running = cluster.supervisor.running();
    report.check('start: every process is ready', running.length === 12, `${running.length} processes`);
    return { processes: running.length };
  });
  await report.phase('Coordination, through the etcd API', () =>
    showCoordination(report, cluster.addresses('consensus')),
  );
  const client = await connect({ endpoints: cluster.addresses('consensus') });
  try {
    let stored: Awaited<ReturnType<typeof loadText>>['stored'] = [];
    await report.phase('Loading text into the sharded store', async () => {
      const loaded = await loadText(report, client, { folder: corpus, names });
      stored = loaded.stored;
      return loaded.figures;
    });
    await report.phase('Transfers across shards while nodes die', () => showTransfers(report, cluster));
    await report.phase('MapReduce over files and over a snapshot of the store, while a worker dies', () =>
      showMapReduce(report, cluster, { folder: corpus, names, stored }),
    );
    report.say(await summary(report, client));
  } finally {
    client.close();
  }
}

/** Whatever ends the demo, nothing of it stays: no process, no file. */
function removeOnEnd(cluster: DemoCluster): { remove(): Promise<void>; stopping: boolean } {
  let removing: Promise<void> | undefined;
  const state = {
    stopping: false,
    remove: (): Promise<void> => (removing ??= cluster.remove()),
  };
  const stop = (code: number): void => {
    if (state.stopping) return;
    state.stopping = true;
    void state.remove().then(() => process.exit(code));
  };
  process.on('SIGINT', () => stop(130));
  process.on('SIGTERM', () => stop(143));
  process.on('SIGHUP', () => stop(129));
  // Whoever started this is gone without a word.
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && stop(1), 500).unref();
  return state;
}

void main();
