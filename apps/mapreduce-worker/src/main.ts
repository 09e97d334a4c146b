import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { consensusTls } from '@synod/coordination';
import { formatAddress, GrpcChannels, GrpcServer, grpcTransport } from '@synod/rpc';
import { systemClock, systemRandom, systemTimers } from '@synod/runtime';
import { DataFolder, Metrics, openTls, runService, ServiceLog, StatusServer, type Running } from '@synod/service-kit';
import { BundleCache } from './bundle-cache';
import { ClusterMembership } from './cluster';
import { readConfig } from './config';
import { ExecutorPool } from './executor-pool';
import { MapOutputs } from './map-outputs';
import { shuffleService } from './shuffle-service';
import { exposeWorker } from './worker-metrics';
import { WorkerNode, type MasterDirectory } from './worker-node';

const SERVICE = 'mapreduce-worker';
/** Of everything in the data folder. */
const FORMAT = 1;
/** Of map outputs handed to the network and not yet taken by a slow reducer, for each that fetches. */
const SHUFFLE_QUEUE_BYTES = 4 * 1024 * 1024;
/** An executor is replaced after so many attempts. */
const ATTEMPTS_PER_EXECUTOR = 1_000;

/** A MapReduce worker: runs tasks in child processes and serves their outputs. It never runs user code itself. */
async function start(end: (error: unknown) => void): Promise<Running> {
  const config = readConfig({ argv: process.argv.slice(2), env: process.env });
  const { consensus = [], masters, slots } = config;
  const identity = { service: SERVICE, node: config.nodeId };
  const log = new ServiceLog(identity, config.logLevel);
  const metrics = new Metrics(identity);
  const data = await DataFolder.open({ folder: config.dataDir, ...identity, nodeId: config.nodeId, format: FORMAT });
  const ports = { clock: systemClock, timers: systemTimers, random: systemRandom, log };
  const scratch = path.join(data.folder, 'scratch');
  const bundleFolder = path.join(data.folder, 'bundles');
  // Nothing of an earlier life is of use: its sessions are over.
  for (const folder of [scratch, bundleFolder]) {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder);
  }

  const channels = new GrpcChannels({}, consensusTls(openTls(config.consensusTls, log)));
  const limits = { queueBytesMax: SHUFFLE_QUEUE_BYTES };
  const server = new GrpcServer({ log, fault: end, observer: metrics.rpc, limits });
  const transport = grpcTransport({ channels, log, fault: end, observer: metrics.rpc });
  const outputs = new MapOutputs();
  let shuffledBytes = 0;
  server.addService(
    'synod.mapreduce.v1.Shuffle',
    shuffleService(outputs, (bytes) => (shuffledBytes += bytes)),
  );
  const listening = formatAddress(await server.listen(config.listen));
  const address = config.advertise ?? listening;

  const entry = path.join(__dirname, 'executor-main.js');
  const { executorHeapMb: heapMb, noProgressMs } = config;
  const pool = new ExecutorPool(ports, {
    entry,
    consensus,
    credentialsFile: config.consensusCredentials?.file,
    heapMb,
    slots,
    noProgressMs,
    attemptsPerExecutor: ATTEMPTS_PER_EXECUTOR,
  });
  const bundles = new BundleCache(bundleFolder, channels);
  const cluster =
    consensus.length === 0
      ? undefined
      : new ClusterMembership({ ...ports, channels }, consensus, config.consensusCredentials);
  const named: MasterDirectory = { masters: () => masters ?? [], onChange: () => () => undefined };
  const node = new WorkerNode(
    { ...ports, transport, pool, outputs, bundles, scratch },
    { nodeId: config.nodeId, address, slots },
    masters === undefined && cluster !== undefined ? cluster.directory : named,
  );
  exposeWorker(metrics, { pool, outputs, shuffledBytes: () => shuffledBytes });
  const status = new StatusServer(metrics, () => (node.connectedMasters === 0 ? 'no master is connected' : undefined));
  await status.listen(config.httpListen);
  node.start();
  log.info('listening', { clients: listening, http: config.httpListen });
  const { nodeId, httpListen: httpAddress } = config;
  const joined = cluster?.join({ nodeId, incarnation: data.version.incarnation, address, httpAddress });
  joined?.then((clusterId) => data.join(clusterId)).catch(end);

  return {
    stop: async () => {
      node.stop();
      pool.close();
      await cluster?.leave();
      await server.stop({ drainMs: 0 });
      channels.close();
      await status.stop();
      await data.release();
    },
  };
}

void runService(start);
