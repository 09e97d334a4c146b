import path from 'node:path';
import { consensusTls, EtcdCoordination } from '@synod/coordination';
import { GrpcChannels, GrpcServer, grpcTransport } from '@synod/rpc';
import { noProbes, openDisk, systemClock, systemRandom, systemTimers } from '@synod/runtime';
import { DataFolder, Metrics, openTls, runService, ServiceLog, StatusServer, type Running } from '@synod/service-kit';
import { openStore } from '@synod/storage-engine';
import { readConfig } from './config';
import { StorageNode } from './node';
import { exposeNode } from './node-metrics';
import { storageService } from './service';

const SERVICE = 'storage-shard';
/** Of everything in the data folder. */
const FORMAT = 1;
/** Calls in progress get this long when the service stops. */
const DRAIN_MS = 1_000;
/** Between looks whether every shard has a leader. */
const HEALTH_MS = 250;

/** A storage node: hosts the replicas of the shards placed on it, and serves those that it leads. */
async function start(end: (error: unknown) => void): Promise<Running> {
  const config = readConfig({ argv: process.argv.slice(2), env: process.env });
  const identity = { service: SERVICE, node: config.nodeId };
  const log = new ServiceLog(identity, config.logLevel);
  const metrics = new Metrics(identity);
  const data = await DataFolder.open({ folder: config.dataDir, ...identity, nodeId: config.nodeId, format: FORMAT });
  const ports = {
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    disk: openDisk(data.folder),
    log,
    probes: noProbes,
  };

  // Peers and clients have servers and connections of their own: a large scan holds up no heartbeat.
  const peerChannels = new GrpcChannels();
  const channels = new GrpcChannels({}, consensusTls(openTls(config.consensusTls, log)));
  const peerServer = new GrpcServer({ log, fault: end, observer: metrics.rpc });
  const clientServer = new GrpcServer({ log, fault: end, observer: metrics.rpc });
  const transport = { log, fault: end, observer: metrics.rpc };
  const coordination = new EtcdCoordination(
    { ...ports, channels },
    { endpoints: config.consensus, identity: 'service', credentials: config.consensusCredentials },
  );
  const store = await openStore({ folder: path.join(data.folder, 'store') });
  const { incarnation, clusterId } = data.version;
  const node = new StorageNode({
    nodeId: config.nodeId,
    incarnation,
    clusterId,
    join: (cluster) => data.join(cluster),
    advertised: {
      address: config.advertise,
      peerAddress: config.peerAdvertise,
      ...(config.httpListen === undefined ? {} : { httpAddress: config.httpListen }),
    },
    ports,
    store,
    peerTransport: grpcTransport({ ...transport, channels: peerChannels, server: peerServer }),
    clientTransport: grpcTransport({ ...transport, channels, server: clientServer }),
    coordination,
    consensus: config.consensus,
    failed: end,
  });
  exposeNode(metrics, node);
  clientServer.addService('synod.storage.v1.Storage', storageService(node));
  clientServer.health.set(false);
  const status = new StatusServer(metrics, () => node.obstacle);
  if (config.httpListen !== undefined) await status.listen(config.httpListen);
  await peerServer.listen(config.peerListen);
  await clientServer.listen(config.listen);
  log.info('listening', { clients: config.listen, peers: config.peerListen, http: config.httpListen });

  // A node waits for the founding as long as it takes, and serves meanwhile: it says that it is not ready.
  node.start().catch(end);
  const health = setInterval(() => {
    const serving = node.obstacle === undefined;
    if (serving === clientServer.health.isServing()) return;
    clientServer.health.set(serving);
    if (serving) log.info('ready', { shards: node.statuses().length });
    else log.warn('not ready', { reason: node.obstacle });
  }, HEALTH_MS);

  return {
    stop: async () => {
      clearInterval(health);
      // Stop hearing, then stop speaking, then close the log.
      await clientServer.stop({ drainMs: DRAIN_MS });
      await node.stop();
      await peerServer.stop({ drainMs: 0 });
      coordination.close();
      channels.close();
      peerChannels.close();
      if (config.httpListen !== undefined) await status.stop();
      await store.flush();
      await store.close();
      await data.release();
    },
  };
}

void runService(start);
