import { calmBut, type NetworkShape, type NodePorts, type SimNode, World } from '@synod/simulation';
import type { StoreTransaction } from '@synod/runtime';
import { prefixEnd, type Disk, type StoreReader } from '@synod/runtime';
import type { Founding, Group, StateMachine } from '../api';
import { peerProtocol } from '../peer-codec';
import { DEFAULT_LOG_LIMITS, type LeaseOptions, type LogLimits, type ReplicationObserver } from '../options';
import { ReplicaHost } from '../replica-host';

/** A log of words: `apply` appends, and says how many there are. */
export class Words implements StateMachine<number> {
  constructor(private prefix: Buffer) {}

  load(prefix: Buffer): void {
    this.prefix = prefix;
  }

  apply(transaction: StoreTransaction, command: Uint8Array): number {
    const count = this.count(transaction) + 1;
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(count);
    transaction.put(Buffer.concat([this.prefix, Buffer.from('count')]), bytes);
    transaction.put(Buffer.concat([this.prefix, Buffer.from('word'), bytes]), command);
    return count;
  }

  /** Everything, as text: equal texts are equal states. */
  dump(reader: StoreReader): string {
    const { prefix } = this;
    const entries = reader.range({ start: prefix, end: prefixEnd(prefix) ?? Buffer.from([0xff]) });
    return Array.from(
      entries,
      ({ key, value }) => `${key.subarray(prefix.length).toString('hex')}=${value.toString()}`,
    ).join();
  }

  count(reader: { get(key: Uint8Array): Buffer | undefined }): number {
    return reader.get(Buffer.concat([this.prefix, Buffer.from('count')]))?.readUInt32BE() ?? 0;
  }
}

export interface TestHost {
  readonly host: ReplicaHost;
  readonly groups: readonly Group<number>[];
  readonly machines: readonly Words[];
  readonly store: StoreReader;
  readonly disk: Disk;
}

export const NODES = ['n1', 'n2', 'n3'];
export const GROUPS = 4;

/** Three nodes that hold four groups, each group preferring another leader. */
export class WordCluster {
  readonly world: World;
  readonly nodes: readonly SimNode<TestHost>[];
  private readonly logLimits: LogLimits;
  /** What members are told at their next start. */
  leases: LeaseOptions | undefined;
  /** Takes what a member's host failed with, which else fails the test. */
  failed: (name: string, error: unknown) => void = (_, error) => this.world.fail(error);
  /** Sees what every member does. */
  observer: Partial<ReplicationObserver> = {};

  constructor(
    seed: number,
    {
      network = {},
      logLimits = DEFAULT_LOG_LIMITS,
      leases,
    }: {
      readonly network?: Partial<NetworkShape>;
      readonly logLimits?: LogLimits;
      readonly leases?: LeaseOptions;
    } = {},
  ) {
    this.logLimits = logLimits;
    this.leases = leases;
    this.world = new World({ seed, shape: calmBut(network) });
    this.nodes = NODES.map((name) => this.world.addNode<TestHost>(name, (ports) => this.makeHost(name, ports)));
    for (const node of this.nodes) node.start();
  }

  private async makeHost(name: string, ports: NodePorts): Promise<TestHost> {
    const host = await ReplicaHost.open({
      identity: { clusterId: 'test', nodeId: name, incarnation: `${name}-disk` },
      ports,
      store: ports.store,
      peerProtocol: peerProtocol(),
      walFolder: 'wal',
      logLimits: this.logLimits,
      ...(this.leases === undefined ? {} : { leases: this.leases }),
      failed: (error) => this.failed(name, error),
      observer: {
        vouched: (...seen) => this.observer.vouched?.(...seen),
        applied: (...seen) => this.observer.applied?.(...seen),
        recovered: (...seen) => this.observer.recovered?.(...seen),
        installed: (...seen) => this.observer.installed?.(...seen),
      },
    });
    for (const peer of NODES) host.setPeer(peer, `${peer}:1`);
    const machines: Words[] = [];
    const groups = Array.from({ length: GROUPS }, (_, index) => {
      const founding: Founding = {
        group: `g${index}`,
        members: NODES.map((nodeId, member) => ({ replicaId: member + 1, nodeId, incarnation: `${nodeId}-disk` })),
      };
      const prefix = Buffer.from([1, index]);
      const stateMachine = new Words(prefix);
      machines.push(stateMachine);
      return host.addGroup({ founding, stateMachine, prefix, preferred: NODES[index % NODES.length] === name });
    });
    host.start();
    return { host, groups, machines, store: ports.store, disk: ports.disk };
  }

  leaderOf(index: number): Group<number> | undefined {
    return this.nodes.map((node) => node.host?.groups[index]).find((group) => group?.status().role === 'leader');
  }

  async awaitLeaders(): Promise<void> {
    const led = await this.world.run(() =>
      Array.from({ length: GROUPS }, (_, index) => this.leaderOf(index)).every((group) => group !== undefined),
    );
    expect(led).toBe(true);
  }

  async settle<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    void promise.then(() => (settled = true));
    await this.world.run(() => settled);
    return promise;
  }

  /** Whether all nodes have applied a group as far as each other, and hold the same state of it. */
  agrees(index: number): boolean {
    const hosts = this.nodes.map(({ host }) => host);
    const applied = new Set(hosts.map((host) => host?.groups[index]?.status().appliedThrough));
    if (applied.size > 1 || applied.has(undefined)) return false; // Asked after every event: the states are large.
    return new Set(hosts.map((host) => host?.machines[index]?.dump(host.store))).size === 1;
  }

  /** What a machine with an empty log is told when it wants to be a member of the first group. */
  async refusal(self: { nodeId: string; incarnation: string }, prepare?: (ports: NodePorts) => void): Promise<string> {
    const founding = this.leaderOf(0)?.founding as Founding;
    let refusal: string | undefined;
    const machine = this.world.addNode('elsewhere', async (ports) => {
      prepare?.(ports);
      const host = await ReplicaHost.open({
        identity: { clusterId: 'test', ...self },
        ports,
        store: ports.store,
        peerProtocol: peerProtocol(),
        walFolder: 'wal',
        failed: () => undefined,
      });
      try {
        const prefix = Buffer.from([1, 0]);
        host.addGroup({ founding, stateMachine: new Words(prefix), prefix, preferred: true });
        refusal = 'none';
      } catch (error) {
        refusal = (error as Error).message;
      }
      return host;
    });
    machine.start();
    await this.world.run(() => refusal !== undefined);
    return refusal ?? 'no answer';
  }

  /** Runs the world until a promise of a node has settled. */
  async answer<T>(promise: Promise<T>): Promise<T> {
    let done = false;
    void promise.then(() => (done = true));
    await this.world.run(() => done);
    return promise;
  }

  /** Proposes until the word is in, at whoever leads. A repeat may put it in twice: callers count with that. */
  async write(index: number, word: string): Promise<number> {
    for (;;) {
      let outcome: Awaited<ReturnType<Group<number>['propose']>> | undefined;
      const leader = this.leaderOf(index);
      if (leader !== undefined) void leader.propose(Buffer.from(word)).then((result) => (outcome = result));
      await this.world.run(() => outcome !== undefined, 2_000_000);
      if (outcome?.kind === 'applied') return outcome.result;
    }
  }
}
