import { isShardCount } from '@synod/consistent-hashing';
import { PLANNER_DEFAULTS } from '@synod/coordination';
import { DEFAULT_LOG_LIMITS } from '@synod/replication';
import { formatAddress, parseAddress } from '@synod/rpc';
import {
  addressSetting,
  assertListenable,
  commonSettings,
  countSetting,
  loadConfig,
  UsageError,
  type ConfigSources,
} from '@synod/service-kit';
import { z } from 'zod';
import type { Founder } from './founding';

/** HTTP is this many ports above the clients' port, unless it is told a place of its own. */
const HTTP_PORT_OFFSET = 1_000;
const MEMBERS_MAX = 7;

const initialCluster = z
  .string({ error: 'members are wanted, id=host:port,id=host:port,…' })
  .transform((text, context): Founder[] => {
    const members = text.split(',').map((part) => readMember(part.trim()));
    const ids = members.map((member) => member?.nodeId);
    const wrong =
      members.includes(undefined) || new Set(ids).size < ids.length
        ? 'members are wanted, each once, id=host:port,id=host:port,…'
        : members.length > MEMBERS_MAX || members.length % 2 === 0
          ? `1, 3, 5 or ${MEMBERS_MAX} members are wanted: an even number survives no more failures than one less`
          : undefined;
    if (wrong === undefined) return members.filter((member) => member !== undefined);
    context.addIssue({ code: 'custom', message: wrong });
    return z.NEVER;
  })
  .optional()
  .describe('all members with their peer addresses, id=host:port,…; this node alone if absent');

const settings = {
  ...commonSettings('127.0.0.1:2379'),
  initialCluster,
  peerListen: addressSetting('where the other members are served').default('127.0.0.1:2380'),
  peerAdvertise: addressSetting('what members are told of it; its address in --initial-cluster if absent').optional(),
  snapshotCount: countSetting('log entries kept for members that lag; one further behind is sent a snapshot', {
    min: 1,
    max: 1_000_000,
    default: DEFAULT_LOG_LIMITS.tailInstances,
  }),
  logSegmentBytes: countSetting('bytes of one file of the log; a few of them are kept', {
    min: 1 << 16,
    max: 1 << 30,
    default: DEFAULT_LOG_LIMITS.segmentBytes,
  }),
  shards: countSetting('shards of the store, a power of two; fixed once the cluster is founded', {
    min: 1,
    // They are all placed in one transaction.
    max: 2_048,
    default: 64,
  }),
  foundingStorageNodes: countSetting('storage nodes to wait for before the shards are placed', {
    min: 1,
    max: 1_000,
    default: PLANNER_DEFAULTS.foundingNodes,
  }),
};

export type ConsensusConfig = ReturnType<typeof readConfig>;

/**
 * The service's settings, from flags, environment and file.
 * @throws {UsageError} naming the wrong one
 */
export function readConfig(sources: ConfigSources) {
  const config = loadConfig('consensus', 'a member of the coordination service (etcd v3 API)', settings, sources);
  const { nodeId, listen, peerListen, initialCluster: founders = [{ nodeId, address: peerListen }] } = config;
  const httpListen = config.httpListen ?? offset(listen);
  assertListenable(
    { '--listen': listen, '--peer-listen': peerListen, '--http-listen': httpListen },
    config.insecureListen,
  );
  const own = founders.find((founder) => founder.nodeId === nodeId);
  if (own === undefined) throw new UsageError(`--initial-cluster does not name this node, ${nodeId}`);
  if (!isShardCount(config.shards)) throw new UsageError(`--shards ${config.shards}: a power of two is wanted`);
  const peerAdvertise = config.peerAdvertise ?? own.address;
  return {
    ...config,
    httpListen,
    advertise: config.advertise ?? listen,
    founders: founders.map((founder) => (founder === own ? { nodeId, address: peerAdvertise } : founder)),
  };
}

function readMember(text: string): Founder | undefined {
  const [nodeId = '', address = '', ...rest] = text.split('=');
  if (!/^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$/.test(nodeId) || rest.length > 0) return undefined;
  return addressSetting('').safeParse(address).success ? { nodeId, address } : undefined;
}

function offset(listen: string): string {
  const { host, port } = parseAddress(listen);
  return formatAddress({ host, port: port === 0 ? 0 : port + HTTP_PORT_OFFSET });
}
