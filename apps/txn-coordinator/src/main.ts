import { consensusTls, EtcdCoordination } from '@synod/coordination';
import { GrpcChannels, GrpcServer, grpcTransport } from '@synod/rpc';
import { noProbes, systemClock, systemRandom, systemTimers } from '@synod/runtime';
import { DataFolder, Metrics, openTls, runService, ServiceLog, StatusServer, type Running } from '@synod/service-kit';
import { readConfig } from './config';
import { CoordinatorNode } from './node';
import { coordinatorService } from './service';

const SERVICE = 'txn-coordinator';
const GRPC_SERVICE = 'synod.txn.v1.TransactionCoordinator';
/** Of everything in the data folder. */
const FORMAT = 1;
/** Commits and calls in progress get this long when the service stops. */
const DRAIN_MS = 1_000;
/** How often health looks whether the coordinator can do its work. */
const HEALTH_US = 200_000;

/** A transaction coordinator: stateless but for its name. */
async function start(end: (error: unknown) => void): Promise<Running> {
  const config = readConfig({ argv: process.argv.slice(2), env: process.env });
  const identity = { service: SERVICE, node: config.nodeId };
  const log = new ServiceLog(identity, config.logLevel);
  const metrics = new Metrics(identity);
  const data = await DataFolder.open({ folder: config.dataDir, ...identity, nodeId: config.nodeId, format: FORMAT });

  const channels = new GrpcChannels({}, consensusTls(openTls(config.consensusTls, log)));
  const server = new GrpcServer({ log, fault: end, observer: metrics.rpc });
  const clocks = { clock: systemClock, timers: systemTimers, random: systemRandom };
  const coordination = new EtcdCoordination(
    { ...clocks, channels },
    { endpoints: config.consensus, identity: 'service', credentials: config.consensusCredentials },
  );
  const transport = grpcTransport({ channels, server, log, fault: end, observer: metrics.rpc });
  const node = new CoordinatorNode({
    identity: {
      nodeId: config.nodeId,
      incarnation: data.version.incarnation,
      address: config.advertise,
      ...(config.httpListen === undefined ? {} : { httpAddress: config.httpListen }),
    },
    ports: { ...clocks, transport, coordination, log, probes: noProbes },
    oracle: config.consensus,
    options: { inflightMax: config.inflightMax, sessionsMax: config.sessionsMax },
    fault: end,
  });
  server.addService(GRPC_SERVICE, coordinatorService(node.thin));
  setServing(server, false);
  exposeLoad(metrics, node);
  const status = new StatusServer(metrics, () => node.obstacle());
  if (config.httpListen !== undefined) await status.listen(config.httpListen);
  // Everything is in place before anyone can call; whoever registers can be reached.
  node.serve();
  await server.listen(config.listen);
  log.info('listening', { clients: config.listen, http: config.httpListen });
  void join(node, data, end);
  const stopWatching = watchHealth(node, server, log);

  return {
    stop: async () => {
      stopWatching();
      await node.drain(DRAIN_MS * 1_000);
      await server.stop({ drainMs: DRAIN_MS });
      await node.stop();
      coordination.close();
      channels.close();
      await status.stop();
      await data.release();
    },
  };
}

/** Registers with the cluster once that is founded, if it is the one that this folder belongs to. */
async function join(node: CoordinatorNode, data: DataFolder, end: (error: unknown) => void): Promise<void> {
  try {
    await data.join(await node.founded());
    node.register();
  } catch (error) {
    end(error);
  }
}

/** Health follows what the node says; the server as a whole is what probes ask about. @returns ends it */
function watchHealth(node: CoordinatorNode, server: GrpcServer, log: ServiceLog): () => void {
  let serving = false;
  let cancel = (): void => undefined;
  const look = (): void => {
    const obstacle = node.obstacle();
    if (serving !== (obstacle === undefined)) {
      serving = !serving;
      setServing(server, serving);
      if (serving) log.info('ready');
      else log.warn(`not ready: ${obstacle ?? ''}`);
    }
    cancel = systemTimers.after(HEALTH_US, look);
  };
  look();
  return () => cancel();
}

function setServing(server: GrpcServer, serving: boolean): void {
  server.health.set(serving);
  server.health.set(serving, GRPC_SERVICE);
}

function exposeLoad(metrics: Metrics, node: CoordinatorNode): void {
  metrics.gauge('synod_txn_commits', 'Commits whose phase 2 is not over.', [], () => [
    { labels: {}, value: node.load.commits },
  ]);
  metrics.gauge('synod_txn_sessions', 'Open transactions of thin clients.', [], () => [
    { labels: {}, value: node.load.sessions },
  ]);
}

void runService(start);
