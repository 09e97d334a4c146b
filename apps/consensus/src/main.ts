import { statfs } from 'node:fs/promises';
import path from 'node:path';
import { formatUrl, GrpcChannels, GrpcServer, grpcTransport } from '@synod/rpc';
import { noProbes, openDisk, SynodError, systemClock, systemRandom, systemTimers } from '@synod/runtime';
import {
  DataFolder,
  Metrics,
  openTls,
  runService,
  ServiceLog,
  StartAnew,
  StatusServer,
  type Running,
} from '@synod/service-kit';
import { checkStorePages, openStore } from '@synod/storage-engine';
import { JwtTokens } from './auth/jwt-tokens';
import { ClusterPlanner } from './cluster-planner';
import { readConfig } from './config';
import { DATA_FOLDER } from './data-format';
import type { Listener } from './listeners';
import { ConsensusNode } from './node';
import { exposeNode } from './node-metrics';
import { QuorumProbe } from './quorum-probe';
import { checkRepairable, findHarm, returnFromHarm } from './return-from-harm';
import { etcdPages } from './served-pages';
import { addEtcdServices } from './services/etcd-services';
import { harmedFolder } from './set-aside';
import { StorePatrol } from './store-patrol';
import { timedDisk } from './timed-disk';
import { Withdrawal } from './withdrawal';

/** Calls in progress get this long when the service stops. */
const DRAIN_MS = 1_000;
/** A watch that is not read has the history for its queue: what waits for each of thousands of streams may be little. */
const CLIENT_LIMITS = { queueBytesMax: 256 * 1024 };

/** A member of the coordination service: one Paxos group behind the etcd v3 API. */
async function start(end: (error: unknown) => void): Promise<Running> {
  const config = readConfig({ argv: process.argv.slice(2), env: process.env });
  const identity = { service: DATA_FOLDER.service, node: config.nodeId };
  const log = new ServiceLog(identity, config.logLevel);
  const { clients, peers } = config;
  const clientTls = openTls(clients.tls, log);
  const peerTls = openTls(peers.tls, log);
  for (const warning of config.warnings) log.warn(warning);
  const metrics = new Metrics(identity);
  const data = await DataFolder.open({ folder: config.dataDir, nodeId: config.nodeId, ...DATA_FOLDER });
  const ports = {
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    disk: timedDisk(
      openDisk(data.folder),
      systemClock,
      metrics.histogram('synod_fsync_seconds', 'How long writes of the log took until they were durable.'),
    ),
    log,
    probes: noProbes,
  };

  // Peers, clients and what watches over the node each have a server of their own: none can keep the others out.
  const [peer] = peers.advertised;
  const towardsPeers = peer?.scheme === 'https' && peerTls ? { material: peerTls } : undefined;
  const channels = new GrpcChannels({}, towardsPeers);
  // Snapshots of a lagging member's state have connections of their own too: they never delay a heartbeat.
  const bulkChannels = new GrpcChannels({}, towardsPeers);
  // Nothing here calls a server whose log would want the trace id, and promises are what a request is made of.
  const serving = { log, fault: end, observer: metrics.rpc, tracing: 'explicit' } as const;
  let obstacle: () => string | undefined = () => 'waiting for all founders';
  const status = new StatusServer(
    metrics,
    () => obstacle(),
    etcdPages(() => obstacle()),
  );
  const peerServer = new GrpcServer(serving);
  const clientServer = new GrpcServer({ ...serving, limits: CLIENT_LIMITS, pages: status.answer });
  const transport = { channels, log, fault: end, observer: metrics.rpc };
  const planner = new ClusterPlanner(ports);
  for (const { address, tls } of config.http) await status.listen(address, tls ? clientTls : undefined);
  for (const { address, tls } of peers.listeners) await peerServer.listen(address, tls ? peerTls : undefined);
  const storeFolder = path.join(data.folder, 'store');
  const peerTransport = grpcTransport({ ...transport, server: peerServer });
  const { harm: noted } = data.version;
  const harm = await findHarm({
    disk: ports.disk,
    ...(noted === undefined ? {} : { noted }),
    checkStore: () => checkStorePages(storeFolder),
  });
  const room = { freeBytes: () => freeBytesOf(data.folder), reserveBytes: config.diskReserveBytes };
  if (harm !== undefined) {
    if (!config.repairFromPeers) throw harm;
    obstacle = () => 'the data folder is harmed; waiting for the other members to take this one back';
    await returnFromHarm(harm, {
      nodeId: config.nodeId,
      founders: config.founders,
      token: config.initialClusterToken,
      folder: harmedFolder(data, room),
      peerTransport,
      ports,
    });
    obstacle = () => 'waiting for the other members';
  }
  await exposeSetAside(metrics, data, log);
  const store = await openStore({ folder: storeFolder });

  const started: { node?: ConsensusNode } = {};
  const withdrawal = new Withdrawal({
    checkRepairable: async () => {
      if (!config.repairFromPeers) throw new SynodError('failed-precondition', '--repair-from-peers is off');
      await checkRepairable(config.founders, harmedFolder(data, room));
    },
    canBeSpared: () => started.node?.canBeSpared === true,
    turn: () => started.node?.turn ?? 0,
    note: (found) => data.noteHarm(found),
    startAnew: () => end(new StartAnew('the data folder is harmed')),
    ports,
  });
  metrics.gauge('synod_harm_found', 'Whether this process has found harm in its data folder.', [], () => [
    { labels: {}, value: withdrawal.harm === undefined ? 0 : 1 },
  ]);
  const node = await ConsensusNode.start({
    nodeId: config.nodeId,
    incarnation: data.version.incarnation,
    joined: data.version.clusterId !== undefined,
    founders: config.founders,
    joins: config.joins,
    ...(data.version.returnsTo === undefined ? {} : { returnsTo: data.version.returnsTo }),
    token: config.initialClusterToken,
    peerScheme: peer?.scheme ?? 'http',
    advertised: {
      address: clients.advertised[0]?.address ?? '',
      clientUrls: clients.advertised.map(formatUrl),
      httpAddress: config.http[0]?.address ?? '',
    },
    times: config.times,
    limits: config.limits,
    strictReconfigCheck: config.strictReconfigCheck,
    certificatesName: config.clientCertAuth,
    ports,
    store,
    ...(config.authToken.kind === 'jwt' ? { tokens: new JwtTokens(config.authToken, systemClock) } : {}),
    peerTransport,
    bulkTransport: grpcTransport({ ...transport, channels: bulkChannels, server: peerServer }),
    clientTransport: grpcTransport({ ...transport, server: clientServer }),
    failed: end,
    logLimits: config.logLimits,
    ...(config.leases === undefined ? {} : { leases: config.leases }),
    stateDiffers: () => {
      const what = `store: ${storeFolder} holds another state than a majority of the members does at the same place in the log`;
      void withdrawal.because(new SynodError('corrupt', what));
    },
    maintenance: {
      storage: {
        gauge: { usage: () => store.usage(), freeBytes: () => freeBytesOf(data.folder) },
        limits: { quotaBytes: config.quotaBytes, reserveBytes: config.diskReserveBytes },
      },
      ...(config.retention === undefined ? {} : { retention: config.retention }),
      auditPeriodUs: config.stateCheckSeconds * 1_000_000,
    },
    onLeadership: (leads, coordination, { clusterId }) =>
      leads ? planner.lead(coordination, { ...config, clusterId }) : planner.resign(),
  });
  started.node = node;
  await data.join(node.founding.clusterId);

  exposeNode(metrics, node);
  addEtcdServices(clientServer, node);
  clientServer.health.set(false);
  for (const { address, tls } of clients.listeners) await clientServer.listen(address, tls ? clientTls : undefined);
  log.info('listening', {
    clients: listed(clients.listeners),
    peers: listed(peers.listeners),
    http: listed(config.http),
  });
  const probe = new QuorumProbe(
    ports,
    () => node.host.readBarrier(),
    (serving) => {
      clientServer.health.set(serving);
      if (serving)
        log.info('ready', { cluster: node.founding.clusterId, clients: clients.advertised.map(formatUrl).join() });
      else log.warn('not ready: no majority of members answers');
    },
    config.times.electionTimeoutUs,
  );
  obstacle = () => (probe.serving ? undefined : 'no majority of members answers');
  probe.start();
  const patrol = new StorePatrol({
    checkPages: (from) => store.checkPages(from),
    periodUs: config.stateCheckSeconds * 1_000_000,
    found: (found) => void withdrawal.because(found),
    ports,
  });

  return {
    stop: async () => {
      patrol.stop();
      withdrawal.stop();
      probe.stop();
      // Stop hearing, then stop speaking, then close the log.
      await clientServer.stop({ drainMs: DRAIN_MS });
      await node.stop();
      await peerServer.stop({ drainMs: 0 });
      channels.close();
      bulkChannels.close();
      for (const material of [clientTls, peerTls]) material?.close();
      await status.stop();
      for (const step of [() => store.flush(), () => store.close()])
        await step().catch((error: unknown) => {
          // A store that is set aside as it is need not be written any more.
          if (withdrawal.harm === undefined) throw error;
          log.warn('the harmed store cannot be written', { error: String(error) });
        });
      await data.release();
    },
  };
}

/** Copies of harmed folders are for whoever looks into them, and take room until somebody does. */
async function exposeSetAside(metrics: Metrics, data: DataFolder, log: ServiceLog): Promise<void> {
  const held = await data.setAsideBefore();
  metrics.gauge(
    'synod_harmed_folders',
    'Contents of the data folder that were found harmed and set aside in it.',
    [],
    () => [{ labels: {}, value: held.length }],
  );
  if (held.length > 0)
    log.warn('holds what was set aside as harmed; remove it when it is of no more use', { folders: held.join() });
}

/** What the process may still write on the file system of a folder: less than what is free, if some of that is root's. */
async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

function listed(listeners: readonly Listener[]): string {
  return listeners.map(({ address, tls }) => formatUrl({ scheme: tls ? 'https' : 'http', address })).join();
}

void runService(start);
