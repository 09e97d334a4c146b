import type { mapreduceV1 } from '@synod/contracts';
import type { WorkerId } from '@synod/mapreduce';
import type { CallContext, ServiceHandlers } from '@synod/rpc';
import { SynodError } from '@synod/runtime';
import type { Job } from './job';
import { jobSpecOf } from './job-spec';
import { jobView, taskViews } from './job-view';
import type { MasterNode } from './master-node';

const REQUEST_ID_LENGTH_MAX = 128;
/** Watchers are told of the newest state, not of every one. */
const WATCH_INTERVAL_MS = 100;

/** The service that clients use: decodes, asks the node, encodes. */
export function clientService(node: MasterNode, nowUs: () => number): ServiceHandlers<'synod.mapreduce.v1.MapReduce'> {
  const nodeOf = (worker: WorkerId): string => worker.slice(0, worker.lastIndexOf('#'));
  const view = (job: Job): mapreduceV1.Job => jobView(job, nowUs(), nodeOf);
  return {
    async SubmitJob({ requestId, spec }, context) {
      refuseRemote(context);
      if (requestId.length > REQUEST_ID_LENGTH_MAX) {
        throw new SynodError('invalid-argument', `request_id is longer than ${REQUEST_ID_LENGTH_MAX} characters`);
      }
      const job = await node.submit(requestId, jobSpecOf(spec));
      return { jobId: job.id };
    },
    GetJob({ jobId, withTasks }) {
      const job = node.find(jobId);
      return { job: view(job), tasks: withTasks ? taskViews(job, nodeOf) : [] };
    },
    async *WatchJob({ jobId }, { signal }) {
      const job = node.find(jobId);
      while (job.outcome === undefined && !signal.aborted) {
        const change = job.nextChange(signal);
        yield { job: view(job) };
        await change;
        await pause(WATCH_INTERVAL_MS);
      }
      yield { job: view(job) };
    },
    CancelJob({ jobId }, context) {
      refuseRemote(context);
      const job = node.find(jobId);
      node.cancel(job);
      return { job: view(job) };
    },
    ListJobs: () => ({ jobs: node.all().map(view) }),
  };
}

/** Serves bundles to workers. */
export function bundleService(node: MasterNode): Pick<ServiceHandlers<'synod.mapreduce.v1.Master'>, 'GetBundle'> {
  const PIECE_BYTES = 256 * 1024;
  return {
    async *GetBundle({ sha256 }) {
      const bundle = node.bundle(sha256);
      for (let at = 0; at < bundle.length; at += PIECE_BYTES) yield { data: bundle.subarray(at, at + PIECE_BYTES) };
    },
  };
}

/** Whoever submits a job runs code on every worker: never from another machine while clients have no identity. */
function refuseRemote({ peer }: CallContext): void {
  if (isLoopbackPeer(peer)) return;
  throw new SynodError(
    'permission-denied',
    'jobs are accepted over the loopback interface only; submit on the machine of the master',
  );
}

/** @param peer as gRPC names it: `127.0.0.1:50000`, `[::1]:50000`, `::ffff:127.0.0.1:50000` … */
export function isLoopbackPeer(peer: string): boolean {
  const host = peer
    .slice(0, Math.max(0, peer.lastIndexOf(':')))
    .replace(/^\[|\]$/g, '')
    .replace(/^::ffff:/i, '');
  return host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
