import { SERVICES, type Service } from '@synod/coordination';

/** How many processes of each service a cluster has. */
export type ClusterShape = Readonly<Record<Service, number>>;

export const DEFAULT_SHAPE: ClusterShape = {
  consensus: 3,
  'storage-shard': 3,
  'txn-coordinator': 2,
  'mapreduce-master': 1,
  'mapreduce-worker': 3,
};

/** The loopback ports of one process. Nodes that hold Paxos groups have one more, for their peers. */
export interface Ports {
  readonly client: number;
  readonly peer?: number;
  readonly http: number;
}

/** One process of a cluster: written to `cluster.json` at the first start and kept from then on. */
export interface ProcessPlan {
  readonly service: Service;
  /** The node id: the service and a number from 1, such as `storage-shard-2`. */
  readonly id: string;
  readonly ports: Ports;
}

/** The whole of a cluster on one machine. */
export interface ClusterPlan {
  readonly processes: readonly ProcessPlan[];
}

/** Where consensus serves clients unless another base is asked for: etcd's port, so that etcdctl needs no flags. */
export const DEFAULT_PORT_BASE = 2379;

/** HTTP (metrics, health) is that far above a node's client port. */
const HTTP_OFFSET = 1000;

/** Hands out the ports of the `index`-th process (from 0) of a service. */
export type PortAllocator = (service: Service, index: number) => Ports;

/** The documented ports, all moved so that `base` takes the place of 2379. */
export function fixedPorts(base: number): PortAllocator {
  const shift = base - DEFAULT_PORT_BASE;
  const ports = (client: number, peer?: number): Ports => ({
    client: client + shift,
    ...(peer === undefined ? {} : { peer: peer + shift }),
    http: client + shift + HTTP_OFFSET,
  });
  return (service, index) => {
    switch (service) {
      case 'consensus':
        return ports(2379 + 10 * index, 2380 + 10 * index);
      case 'storage-shard':
        return ports(2500 + index, 2600 + index);
      case 'txn-coordinator':
        return ports(2700 + index);
      case 'mapreduce-master':
        return ports(2800 + index);
      case 'mapreduce-worker':
        return ports(2900 + index);
    }
  };
}

/** Takes ports from a list of free ones, in turn. */
export function listedPorts(free: readonly number[]): PortAllocator {
  let next = 0;
  const take = (): number => {
    const port = free[next++];
    if (port === undefined) throw new RangeError('fewer free ports than the cluster needs');
    return port;
  };
  return (service) => ({
    client: take(),
    ...(service === 'consensus' || service === 'storage-shard' ? { peer: take() } : {}),
    http: take(),
  });
}

/** How many ports `listedPorts` takes for a shape. */
export function portCount(shape: ClusterShape): number {
  return SERVICES.reduce(
    (sum, service) => sum + shape[service] * (service === 'consensus' || service === 'storage-shard' ? 3 : 2),
    0,
  );
}

export function planCluster(shape: ClusterShape, allocate: PortAllocator): ClusterPlan {
  const processes = SERVICES.flatMap((service) =>
    Array.from({ length: shape[service] }, (_, index) => ({
      service,
      id: `${service}-${index + 1}`,
      ports: allocate(service, index),
    })),
  );
  return { processes };
}

const HOST = '127.0.0.1';

/** `host:port` at which a process serves its clients. */
export function addressOf(process: ProcessPlan): string {
  return `${HOST}:${process.ports.client}`;
}

export function addressesOf(plan: ClusterPlan, service: Service): string[] {
  return plan.processes.filter((process) => process.service === service).map(addressOf);
}

/** The command-line flags that start one process of a plan. */
export function flagsOf(plan: ClusterPlan, process: ProcessPlan, dataFolder: string): string[] {
  const flags = [
    ['--node-id', process.id],
    ['--data-dir', dataFolder],
    ['--listen', addressOf(process)],
    ['--http-listen', `${HOST}:${process.ports.http}`],
  ];
  if (process.ports.peer !== undefined) flags.push(['--peer-listen', `${HOST}:${process.ports.peer}`]);
  if (process.service === 'consensus') {
    const founders = plan.processes.filter(({ service }) => service === 'consensus');
    flags.push(['--initial-cluster', founders.map(({ id, ports }) => `${id}=${HOST}:${ports.peer}`).join(',')]);
    const storageNodes = plan.processes.filter(({ service }) => service === 'storage-shard').length;
    flags.push(['--founding-storage-nodes', String(storageNodes)]);
  } else {
    flags.push(['--consensus', addressesOf(plan, 'consensus').join(',')]);
  }
  return flags.flat();
}
