import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { MapReduceClient, runJob, type JobProgress } from '@synod/client';
import { GrpcChannels } from '@synod/rpc';
import { readCorpus } from './corpus';
import type { DemoCluster } from './demo-cluster';
import { rounded, type Report } from './report';
import { difference, reference, type Document, type Reference } from './sequential-reference';

const SPLIT_BYTES = 64 << 10;
/** Fewer maps would be over before a worker that holds a finished output can be found and killed: little input is cut finer. */
const MAPS_MIN = 60;
const REDUCERS = 4;
/** Share of the maps that are done when a worker is killed. */
const WORKER_DIES = 0.3;

/** Word count and inverted index over the files and over the store, held against a program that shares no code with the engine. */
export async function showMapReduce(
  report: Report,
  cluster: DemoCluster,
  corpus: { readonly folder: string; readonly names: readonly string[]; readonly stored: readonly Document[] },
): Promise<Record<string, number | string>> {
  const documents: Document[] = [];
  for await (const document of readCorpus(corpus.folder, corpus.names)) documents.push(document);
  const sources = [
    { name: 'files', input: corpus.folder, expected: reference(documents) },
    { name: 'store', input: 'store:doc/', expected: reference(corpus.stored) },
  ];
  const bytes = documents.reduce((sum, document) => sum + document.bytes.length, 0);
  const splitBytes = Math.max(1, Math.min(SPLIT_BYTES, Math.ceil(bytes / MAPS_MIN)));
  let killed = false;
  let seconds = 0;
  let maps = 0;
  for (const { name, input, expected } of sources) {
    for (const program of ['wordcount', 'index'] as const) {
      const output = path.join(cluster.folder, `${program}-${name}`);
      const startedAt = performance.now();
      const request = { program, input, output, reducers: REDUCERS, splitBytes };
      const job = killed ? await run(report, cluster, request) : await runKillingAWorker(report, cluster, request);
      killed = true;
      seconds += (performance.now() - startedAt) / 1000;
      maps += job.maps.total;
      const parts = (await readdir(output)).filter((file) => file.startsWith('part-')).sort();
      const wrong = difference(
        parts.map((part) => path.join(output, part)),
        program === 'wordcount' ? expected.wordCount : expected.index,
      );
      report.check(
        `mapreduce: ${program} over the ${name} equals the sequential program`,
        wrong === undefined,
        wrong ?? `${job.maps.total} maps, ${parts.length} parts, ${job.mapsRerun} finished maps run again`,
      );
    }
  }
  report.say('');
  for (const [word, count] of commonest(sources[0]?.expected)) report.say(`  ${count.padStart(8)} ${word}`);
  return { jobs: 4, maps, mapsPerSecond: rounded(maps / seconds) };
}

type Request = Omit<Parameters<typeof runJob>[0], 'masters'>;

function nameOf({ program }: Request): string {
  return typeof program === 'string' ? program : program.name;
}

function run(report: Report, cluster: DemoCluster, request: Request): Promise<JobProgress> {
  return runJob(
    { ...request, masters: cluster.addresses('mapreduce-master') },
    { onProgress: progressLine(report, nameOf(request)) },
  );
}

/**
 * Runs a job and kills a worker in the midst of it: one that holds a finished map output which no reduce has fetched, and runs something.
 */
async function runKillingAWorker(report: Report, cluster: DemoCluster, request: Request): Promise<JobProgress> {
  const channels = new GrpcChannels();
  const client = new MapReduceClient(channels, () => cluster.addresses('mapreduce-master'));
  const { master, jobId } = await client.submit(request);
  let victim: { readonly id: string; readonly at: JobProgress; readonly unfetched: number } | undefined;
  const show = progressLine(report, nameOf(request));
  try {
    for (;;) {
      const { job } = await client.job(master, jobId);
      show(job);
      if (victim === undefined && job.state === 'mapping' && job.maps.completed >= job.maps.total * WORKER_DIES) {
        const worker = job.workers.find((one) => one.runningMaps > 0 && one.unfetchedMapOutputs > 0);
        if (worker !== undefined) {
          await cluster.supervisor.kill(worker.nodeId);
          victim = { id: worker.nodeId, at: job, unfetched: worker.unfetchedMapOutputs };
          report.say(`  killed ${victim.id} with ${job.maps.completed} of ${job.maps.total} maps done`);
        }
      }
      if (job.state === 'succeeded' || job.state === 'failed' || job.state === 'cancelled') {
        if (job.state !== 'succeeded') throw new Error(`the job ${job.state}: ${job.reason}`);
        report.check(
          'mapreduce: what a killed worker held was made again',
          victim !== undefined && job.mapsRerun > 0,
          victim === undefined
            ? 'no worker could be killed in time'
            : `${victim.id} killed at ${victim.at.maps.completed} of ${job.maps.total} maps, holding ${victim.unfetched} outputs; ${job.mapsRerun} finished maps ran again`,
        );
        return job;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  } finally {
    channels.close();
    if (victim !== undefined) await cluster.supervisor.start([victim.id]);
  }
}

/** A line at every tenth of the work. */
function progressLine(report: Report, program: string): (job: JobProgress) => void {
  let told = -1;
  return ({ state, maps, reduces }) => {
    const total = maps.total + reduces.total;
    const tenth = total === 0 ? 0 : Math.floor((10 * (maps.completed + reduces.completed)) / total);
    if (tenth === told || total === 0) return;
    told = tenth;
    report.say(
      `  ${program} ${state}: ${maps.completed}/${maps.total} maps, ${reduces.completed}/${reduces.total} reduces`,
    );
  };
}

function commonest(expected: Reference | undefined): [string, string][] {
  const counts = [...(expected?.wordCount ?? new Map<string, string>())];
  return counts.sort(([, a], [, b]) => Number(b) - Number(a)).slice(0, 10);
}
