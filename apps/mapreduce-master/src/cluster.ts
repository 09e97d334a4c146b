import { SynodClient } from '@synod/client';
import { EtcdCoordination, Registration, type EtcdCredentials, type NodeRegistration } from '@synod/coordination';
import type { GrpcChannels } from '@synod/rpc';
import { SynodError, type Clock, type Log, type Random, type Timers, type Transport } from '@synod/runtime';
import type { SnapshotStore } from './input-plan';

interface ClusterPorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly transport: Transport;
  readonly channels: GrpcChannels;
}

/** How long a stopping master tries to take itself off the list of nodes; its lease does it otherwise. */
const FAREWELL_US = 1_000_000;

/** A master's place in a cluster: workers and clients find it there, and jobs may read the store. */
export class ClusterMembership {
  readonly store: SnapshotStore;
  private readonly coordination: EtcdCoordination;
  private readonly client: SynodClient;
  private registration: Registration | undefined;

  constructor(
    private readonly ports: ClusterPorts,
    consensus: readonly string[],
    credentials?: EtcdCredentials,
  ) {
    this.coordination = new EtcdCoordination(ports, { endpoints: consensus, identity: 'service', credentials });
    this.client = new SynodClient(this.coordination, () => consensus, ports);
    const { kv, timestamps } = this.client;
    this.store = { openSnapshot: () => timestamps.next(), rows: (range) => kv.rows(range) };
  }

  /** Announces this master. @returns the cluster's id, as soon as it is known */
  async join(self: Omit<NodeRegistration, 'service'>): Promise<string> {
    const ports = { ...this.ports, coordination: this.coordination };
    this.registration = new Registration(ports, { service: 'mapreduce-master', ...self });
    this.registration.start();
    return (await this.client.routing.ready()).clusterId;
  }

  async leave(): Promise<void> {
    const late = new Promise<void>((resolve) => this.ports.timers.after(FAREWELL_US, resolve));
    await Promise.race([this.registration?.stop(), late]);
    this.client.close();
    this.coordination.close();
  }
}

/** The store of a master that belongs to no cluster. */
export const noStore: SnapshotStore = {
  openSnapshot: () => Promise.reject(standalone()),
  rows: () => {
    throw standalone();
  },
};

function standalone(): SynodError {
  return new SynodError(
    'failed-precondition',
    'this master was started without --consensus, so there is no store to read',
  );
}
