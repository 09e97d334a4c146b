import { ManualTime } from '@synod/coordination';
import type {
  BarrierResult,
  Group,
  GroupOptions,
  GroupStatus,
  NodeId,
  ProposeResult,
  TransferResult,
} from '@synod/replication';
import { noProbes, silentLog, SynodError, type Random } from '@synod/runtime';
import type { TokenProvider } from '../auth/token-provider';
import { CoordinationHost, type MaintenanceOptions } from '../coordination-host';
import { LinkBroken, type LeaderLink } from '../leader-link';
import type { ApplyResult } from '../state/results';
import { MemoryStore } from './memory-store';
import { PREFIX } from './state-bench';

type Part = Pick<GroupOptions<ApplyResult>, 'stateMachine' | 'leadershipChanged'>;

/** A log that everyone agrees on because it is one array: the place of Paxos in specs of what stands on it. */
class SharedLog {
  readonly commands: Uint8Array[] = [];
  leader: NodeId | undefined;
}

/** One member's replica of the shared log. Applies what is in the log unless it is `paused`. */
class MemberGroup implements Group<ApplyResult> {
  readonly founding = { group: 'consensus', members: [] };
  paused = false;
  /** The next proposal is in the log, but its proposer is told that nobody knows. */
  loseNextAnswer = false;
  private appliedThrough = 0;
  private readonly results = new Map<number, ApplyResult>();

  constructor(
    readonly nodeId: NodeId,
    readonly store: MemoryStore,
    private readonly names: readonly NodeId[],
    private readonly log: SharedLog,
    private readonly part: Part,
    private readonly time: ManualTime,
    private readonly appended: () => void,
  ) {}

  status(): GroupStatus {
    return {
      group: 'consensus',
      replicaId: 1,
      role: this.log.leader === this.nodeId ? 'leader' : 'follower',
      promised: { round: 7, replica: 1 },
      leader: this.log.leader,
      chosenThrough: this.log.commands.length,
      appliedThrough: this.appliedThrough,
      truncatedThrough: 0,
      members: this.names.map((nodeId, index) => ({ replicaId: index + 1, nodeId, incarnation: nodeId })),
    };
  }

  async propose(command: Uint8Array): Promise<ProposeResult<ApplyResult>> {
    const proposed = await this.proposeAll([command]);
    return proposed.kind === 'applied' ? { ...proposed, result: proposed.result[0] as ApplyResult } : proposed;
  }

  /** Each command has an instance of its own here. */
  async proposeAll(commands: readonly Uint8Array[]): Promise<ProposeResult<readonly ApplyResult[]>> {
    if (this.log.leader !== this.nodeId) return this.notLeader();
    const first = this.log.commands.length + 1;
    this.log.commands.push(...commands);
    this.appended();
    await this.turn();
    if (this.loseNextAnswer) {
      this.loseNextAnswer = false;
      return { kind: 'unknown' };
    }
    const result = commands.map((_, index) => this.results.get(first + index)).filter((each) => each !== undefined);
    if (result.length < commands.length) return { kind: 'unknown' };
    return { kind: 'applied', instance: first, result };
  }

  async readBarrier(): Promise<BarrierResult> {
    await this.turn();
    if (this.log.leader !== this.nodeId) return this.notLeader();
    return { kind: 'ready', applied: this.appliedThrough };
  }

  transferLeadership(): Promise<TransferResult> {
    return Promise.resolve({ kind: 'not-transferred' });
  }

  catchUp(): void {
    if (this.paused || this.appliedThrough === this.log.commands.length) return;
    this.store.transaction((transaction) => {
      for (const command of this.log.commands.slice(this.appliedThrough)) {
        const position = { instance: ++this.appliedThrough, index: 0 };
        this.results.set(position.instance, this.part.stateMachine.apply(transaction, command, position));
      }
      this.part.stateMachine.finish?.(transaction);
    });
    this.part.stateMachine.committed?.(this.store);
  }

  tell(leads: boolean): void {
    this.part.leadershipChanged?.(leads);
  }

  private notLeader(): { readonly kind: 'not-leader'; readonly leader: NodeId | undefined } {
    return { kind: 'not-leader', leader: this.log.leader };
  }

  private turn(): Promise<void> {
    return new Promise((resolve) => this.time.after(0, resolve));
  }
}

export interface TestMember {
  readonly host: CoordinationHost;
  readonly group: MemberGroup;
  readonly store: MemoryStore;
}

/** Members of the coordination service around one log, on time that stands still until told to go on. */
export class ClusterBench {
  readonly time = new ManualTime();
  readonly members = new Map<NodeId, TestMember>();
  /** A forwarded request that meets this is done, and its answer lost. */
  loseNextForwardedAnswer = false;
  readonly leaderships: string[] = [];
  private readonly log = new SharedLog();
  private seed = 0;

  constructor(
    names: readonly NodeId[] = ['n1'],
    /** How clients prove who they are, if not by tokens in the log. */
    private readonly tokens?: TokenProvider,
    private readonly maintenance: (name: NodeId) => MaintenanceOptions = () => ({}),
  ) {
    for (const name of names) this.addMember(name, names);
  }

  member(name: NodeId): TestMember {
    const member = this.members.get(name);
    if (member === undefined) throw new Error(`no member ${name}`);
    return member;
  }

  /** The host of the first member. */
  get host(): CoordinationHost {
    return this.member('n1').host;
  }

  /** Makes a member the leader, or none. */
  async lead(name: NodeId | undefined): Promise<void> {
    const before = this.log.leader;
    this.log.leader = name;
    if (before !== undefined) this.member(before).group.tell(false);
    if (name !== undefined) this.member(name).group.tell(true);
    await this.time.settle();
  }

  /** Lets a member apply what it missed while it was paused. */
  async resume(name: NodeId): Promise<void> {
    this.member(name).group.paused = false;
    this.member(name).group.catchUp();
    await this.time.settle();
  }

  get logLength(): number {
    return this.log.commands.length;
  }

  get logBytes(): number {
    return this.log.commands.reduce((sum, { length }) => sum + length, 0);
  }

  private addMember(name: NodeId, names: readonly NodeId[]): void {
    const store = new MemoryStore();
    const random: Random = { below: () => 0, bytes: (size) => Buffer.alloc(size, ++this.seed) };
    const link: LeaderLink = {
      ask: async (leader, request) => {
        const answer = await this.member(leader).host.desk.answer(request);
        if (!this.loseNextForwardedAnswer) return answer;
        this.loseNextForwardedAnswer = false;
        throw new LinkBroken(new SynodError('outcome-unknown', 'the connection broke'));
      },
    };
    let group!: MemberGroup;
    const host = new CoordinationHost({
      nodeId: name,
      prefix: PREFIX,
      store,
      ports: { clock: this.time, timers: this.time, random, log: silentLog, probes: noProbes },
      link,
      memberNumber: (member) => BigInt(member.slice(1)),
      maintenance: this.maintenance(name),
      ...(this.tokens === undefined ? {} : { tokens: this.tokens }),
      join: (part) => (group = new MemberGroup(name, store, names, this.log, part, this.time, () => this.applyLater())),
      leadershipChanged: (leads) => this.leaderships.push(`${name} ${leads ? 'leads' : 'follows'}`),
    });
    this.members.set(name, { host, group, store });
  }

  private applyLater(): void {
    this.time.after(0, () => {
      for (const { group } of this.members.values()) group.catchUp();
    });
  }
}
