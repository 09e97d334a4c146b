import {
  clusterCodec,
  clusterKey,
  EtcdCoordination,
  type EtcdCredentials,
  NodeDirectory,
  RangeMirror,
  Registration,
  type NodeRegistration,
} from '@synod/coordination';
import type { GrpcChannels } from '@synod/rpc';
import type { Clock, Log, Random, Timers } from '@synod/runtime';
import type { MasterDirectory } from './worker-node';

interface ClusterPorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly channels: GrpcChannels;
}

/** How long a stopping worker tries to take itself off the list of nodes; its lease does it otherwise. */
const FAREWELL_US = 1_000_000;

/** A worker's place in a cluster: it is listed there, and finds its masters there. */
export class ClusterMembership {
  readonly directory: MasterDirectory;
  private readonly ports: ClusterPorts & { readonly coordination: EtcdCoordination };
  private readonly nodes: NodeDirectory;
  private readonly cluster: RangeMirror;
  private registration: Registration | undefined;

  constructor(ports: ClusterPorts, consensus: readonly string[], credentials?: EtcdCredentials) {
    const options = { endpoints: consensus, identity: 'service', credentials } as const;
    this.ports = { ...ports, coordination: new EtcdCoordination(ports, options) };
    this.nodes = new NodeDirectory(this.ports, 'mapreduce-master');
    this.cluster = new RangeMirror(this.ports, { key: clusterKey() });
    this.directory = {
      masters: () => this.nodes.nodes('mapreduce-master').map(({ address }) => address),
      onChange: (listener) => this.nodes.onChange(listener),
    };
  }

  /** Announces this worker. @returns the cluster's id, as soon as it is known */
  join(self: Omit<NodeRegistration, 'service'>): Promise<string> {
    this.registration = new Registration(this.ports, { service: 'mapreduce-worker', ...self });
    this.registration.start();
    return this.cluster.waitFor(() => {
      const entry = this.cluster.get(clusterKey());
      return entry === undefined ? undefined : clusterCodec.decode(entry).clusterId;
    });
  }

  async leave(): Promise<void> {
    const late = new Promise<void>((resolve) => this.ports.timers.after(FAREWELL_US, resolve));
    await Promise.race([this.registration?.stop(), late]);
    this.nodes.close();
    this.cluster.close();
    this.ports.coordination.close();
  }
}
