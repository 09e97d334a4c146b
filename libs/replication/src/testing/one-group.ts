import { calmBut, type NodePorts, type SimNode, World } from '@synod/simulation';
import type { StoreReader, StoreTransaction } from '@synod/runtime';
import type { GroupConfiguration, GroupMember, ReconfigurableGroup, StateMachine } from '../api';
import { peerProtocol } from '../peer-codec';
import { DEFAULT_LOG_LIMITS, type LogLimits } from '../options';
import { ReplicaHost } from '../replica-host';

const GROUP = 'g';
const PREFIX = Buffer.from([1]);

/** The set of all words. */
class Words implements StateMachine<void> {
  private prefix: Buffer = PREFIX;

  load(prefix: Buffer): void {
    this.prefix = prefix;
  }

  apply(transaction: StoreTransaction, command: Uint8Array): void {
    transaction.put(Buffer.concat([this.prefix, command]), Buffer.alloc(0));
  }

  has(reader: StoreReader, word: string): boolean {
    return reader.get(Buffer.concat([this.prefix, Buffer.from(word)])) !== undefined;
  }
}

interface TestHost {
  readonly host: ReplicaHost;
  readonly group: ReconfigurableGroup<void>;
  has(word: string): boolean;
}

/** One group whose members come from a pool of machines. */
export class OneGroup {
  readonly world: World;
  readonly nodes: readonly SimNode<TestHost>[];
  /** What a machine was told when it took its place: as durable as the file that a node keeps it in. */
  readonly joined = new Map<string, GroupConfiguration>();
  readonly removed = new Set<string>();
  readonly refusals = new Map<string, string>();
  private words = 0;

  /** @param names machines, the founders first */
  constructor(
    seed: number,
    names: readonly string[],
    private readonly founders: readonly string[] = names,
    private readonly logLimits: LogLimits = DEFAULT_LOG_LIMITS,
  ) {
    this.world = new World({ seed, shape: calmBut({ codec: seed % 2 === 0 }) });
    this.nodes = names.map((name) => this.world.addNode<TestHost>(name, (ports) => this.makeHost(name, ports)));
    for (const name of founders) this.world.node(name).start();
  }

  private async makeHost(name: string, ports: NodePorts): Promise<TestHost> {
    const host = await ReplicaHost.open({
      identity: { clusterId: 'test', nodeId: name, incarnation: `${name}-disk`, address: `${name}:1` },
      ports,
      store: ports.store,
      peerProtocol: peerProtocol(),
      walFolder: 'wal',
      logLimits: this.logLimits,
      failed: (error) => this.world.fail(error),
    });
    const words = new Words();
    const joined = this.joined.get(name);
    const known = joined?.members ?? this.founders.map((nodeId) => ({ nodeId }));
    const meet = ({ members }: { readonly members: readonly { readonly nodeId?: string }[] }): void => {
      for (const { nodeId } of members) if (nodeId !== undefined) host.setPeer(nodeId, `${nodeId}:1`);
    };
    meet({ members: known });
    try {
      const group = host.addGroup({
        founding: {
          group: GROUP,
          members: this.founders.map((nodeId, index) => ({
            replicaId: index + 1,
            nodeId,
            incarnation: `${nodeId}-disk`,
          })),
        },
        stateMachine: words,
        prefix: PREFIX,
        preferred: false,
        ...(joined === undefined ? {} : { joined }),
        configurationChanged: meet,
        removed: () => this.removed.add(name),
      });
      meet(group.configuration);
      host.start();
      return { host, group, has: (word) => words.has(ports.store, word) };
    } catch (error) {
      this.refusals.set(name, (error as Error).message);
      throw error;
    }
  }

  host(name: string): TestHost | undefined {
    return this.world.node(name).host as TestHost | undefined;
  }

  get leader(): ReconfigurableGroup<void> | undefined {
    return this.nodes
      .filter(({ name }) => !this.removed.has(name))
      .map((node) => node.host?.group)
      .find((group) => group?.status().role === 'leader');
  }

  async settle<T>(promise: Promise<T>, withinUs: number): Promise<T | undefined> {
    let settled: T | undefined;
    void promise.then((result) => (settled = result));
    await this.world.run(() => settled !== undefined, withinUs);
    return settled;
  }

  /** Writes a word of its own until it is acknowledged. */
  async write(attempts = 40): Promise<string> {
    const word = `w${++this.words}`;
    for (let attempt = 0; attempt < attempts; attempt++) {
      await this.world.run(() => this.leader !== undefined, 2_000_000);
      const result = this.leader && (await this.settle(this.leader.propose(Buffer.from(word)), 3_000_000));
      if (result?.kind === 'applied') return word;
      await this.world.run(this.world.now + 200_000);
    }
    throw new Error(`no progress: ${JSON.stringify(this.nodes.map(({ host }) => host?.group.status()))}`);
  }

  /** Proposes what a leader makes of its configuration. @returns whether it was chosen, as far as the leader could tell */
  async change(next: (configuration: GroupConfiguration) => readonly GroupMember[] | undefined): Promise<boolean> {
    await this.world.run(() => this.leader !== undefined, 5_000_000);
    const { leader } = this;
    const members = leader && next(leader.configuration);
    if (members === undefined) return false;
    const { version, highestId } = leader!.configuration;
    const result = await this.settle(
      leader!.change({
        version: version + 1,
        members,
        highestId: Math.max(highestId, ...members.map(({ replicaId }) => replicaId)),
      }),
      5_000_000,
    );
    return result?.kind === 'changed';
  }

  /** Adds the machine's replica, tells it so, and starts it. */
  async add(name: string, learner: boolean): Promise<boolean> {
    const added = await this.change(({ members, highestId }) => [
      ...members,
      { replicaId: highestId + 1, learner, nodeId: name, incarnation: `${name}-disk` },
    ]);
    const told = this.leader?.configuration;
    if (!added || told?.members.every(({ nodeId }) => nodeId !== name) !== false) return false;
    this.joined.set(name, told);
    this.world.node(name).start();
    return true;
  }

  promote(name: string): Promise<boolean> {
    return this.change(({ members }) =>
      members.map((member) => (member.nodeId === name ? { ...member, learner: false } : member)),
    );
  }

  remove(name: string): Promise<boolean> {
    return this.change(({ members }) => members.filter(({ nodeId }) => nodeId !== name));
  }

  /** Runs until every member has applied the same. */
  async converge(): Promise<GroupConfiguration> {
    const agreed = (): boolean => {
      const { leader } = this;
      if (leader === undefined) return false;
      const { chosenThrough } = leader.status();
      return leader.configuration.members.every(
        ({ nodeId }) => this.host(nodeId!)?.group.status().appliedThrough === chosenThrough,
      );
    };
    if (!(await this.world.run(agreed, 30_000_000))) throw new Error('the members do not come to agree');
    return this.leader!.configuration;
  }
}
