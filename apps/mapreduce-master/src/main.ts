import path from 'node:path';
import { consensusTls } from '@synod/coordination';
import { formatAddress, GrpcChannels, GrpcServer, grpcTransport } from '@synod/rpc';
import { systemClock, systemRandom, systemTimers } from '@synod/runtime';
import { DataFolder, Metrics, openTls, runService, ServiceLog, StatusServer, type Running } from '@synod/service-kit';
import { bundleService, clientService } from './client-service';
import { ClusterMembership, noStore } from './cluster';
import { readConfig } from './config';
import { MasterNode } from './master-node';
import { exposeMaster } from './master-metrics';
import { OutputFolder } from './output-folder';
import { workerSessionProtocol } from './session-protocol';

const SERVICE = 'mapreduce-master';
/** Of everything in the data folder. */
const FORMAT = 1;
/** Calls in progress get this long when the service stops. */
const DRAIN_MS = 500;
/** A worker's sign of life; several fit in the time-out. */
const HEARTBEAT_MS = 500;

/** A MapReduce master: takes jobs from clients and hands their tasks to workers. */
async function start(end: (error: unknown) => void): Promise<Running> {
  const config = readConfig({ argv: process.argv.slice(2), env: process.env });
  const identity = { service: SERVICE, node: config.nodeId };
  const log = new ServiceLog(identity, config.logLevel);
  const metrics = new Metrics(identity);
  const data = await DataFolder.open({ folder: config.dataDir, ...identity, nodeId: config.nodeId, format: FORMAT });
  const ports = { clock: systemClock, timers: systemTimers, random: systemRandom, log };
  const channels = new GrpcChannels({}, consensusTls(openTls(config.consensusTls, log)));
  const server = new GrpcServer({ log, fault: end, observer: metrics.rpc });
  const transport = grpcTransport({ channels, server, log, fault: end, observer: metrics.rpc });
  const notes = path.join(data.folder, 'staging');
  await OutputFolder.sweep(notes);

  const cluster =
    config.consensus &&
    new ClusterMembership({ ...ports, transport, channels }, config.consensus, config.consensusCredentials);
  const node = new MasterNode({
    ...ports,
    store: cluster?.store ?? noStore,
    notes,
    times: { heartbeatMs: HEARTBEAT_MS, sessionTimeoutMs: config.sessionTimeoutMs },
    fault: end,
  });
  server.addService(
    'synod.mapreduce.v1.MapReduce',
    clientService(node, () => systemClock.monotonicUs()),
  );
  server.addService('synod.mapreduce.v1.Master', bundleService(node));
  transport.serve(workerSessionProtocol(), (connection) => node.accept(connection));
  exposeMaster(metrics, node);
  const status = new StatusServer(metrics, () => (node.workers().length === 0 ? 'no worker is connected' : undefined));
  await status.listen(config.httpListen);
  const listening = formatAddress(await server.listen(config.listen));
  log.info('listening', { clients: listening, http: config.httpListen });

  const { nodeId, httpListen: httpAddress } = config;
  const { incarnation } = data.version;
  const joined = cluster?.join({ nodeId, incarnation, address: config.advertise ?? listening, httpAddress });
  joined?.then((clusterId) => data.join(clusterId)).catch(end);

  return {
    stop: async () => {
      // Jobs first: their clients hear why, and nothing of them stays behind.
      await node.stop();
      await cluster?.leave();
      await server.stop({ drainMs: DRAIN_MS });
      channels.close();
      await status.stop();
      await data.release();
    },
  };
}

void runService(start);
