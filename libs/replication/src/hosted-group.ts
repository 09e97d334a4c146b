import { compareBallots, type Ballot, type ChosenEntry, type Effects, type Input, type Replica } from '@synod/paxos';
import { invariant } from '@synod/invariant';
import type { StoreReader, StoreTransaction } from '@synod/runtime';
import { otherSlot, slotPrefix, type GroupState } from './group-states';
import type { BarrierResult, Group, GroupOptions, GroupStatus, Member, NodeId, ProposeResult } from './api';

/** Commands waiting to be proposed, in bytes; one more is refused. A leader that cannot keep up says so instead of growing. */
const WAITING_BYTES_MAX = 16 << 20;

type Resolve<T> = (result: T) => void;

/** Commands of one event-loop turn, to be proposed as one value. */
interface OpenBatch<R> {
  readonly commands: Uint8Array[];
  readonly proposers: Resolve<ProposeResult<R>>[];
}

/** How the failure detector sees the leader of a group. */
export interface LeaderWatch {
  /** The ballot that the leader's node has listed among its led groups: from then on its absence there means something. */
  listed: Ballot | undefined;
  /** When to ask for leadership if nothing is heard until then; monotonic microseconds. */
  suspectAtUs: number;
}

/**
 * One group on this node: collects a turn's inputs for its replica, applies what the replica reports chosen, and tells each caller
 * what became of its request. Does no I/O: the `ReplicaHost` moves its records and messages.
 */
export class HostedGroup<R> implements Group<R> {
  readonly watch: LeaderWatch = { listed: undefined, suspectAtUs: 0 };
  private readonly inputs: Input[] = [];
  private batch: OpenBatch<R> = { commands: [], proposers: [] };
  private readers: Resolve<BarrierResult>[] = [];
  private waitingBytes = 0;
  private nextToken = 1;
  private readonly proposals = new Map<number, { batch: OpenBatch<R>; bytes: number }>();
  private readonly reads = new Map<number, Resolve<BarrierResult>[]>();
  /** Results of the instances applied in this turn, until their proposers are told. */
  private readonly results = new Map<number, R[]>();
  /** Every instance up to here is in the store for good. */
  flushedThrough = 0;
  private led = false;
  private stopped = false;

  constructor(
    readonly options: GroupOptions<R>,
    readonly self: Member,
    readonly replica: Replica,
    /** What the store holds. Its applied index grows by one: invariant `applied-in-order`. */
    private state_: GroupState,
    private readonly wake: () => void,
  ) {}

  get state(): GroupState {
    return this.state_;
  }

  /** Where the next snapshot is written to. */
  get idlePrefix(): Buffer {
    return slotPrefix(this.options.prefix, otherSlot(this.state_.slot));
  }

  /** What the store holds whatever happens now. */
  flushed(through: number): void {
    if (through <= this.flushedThrough) return;
    this.flushedThrough = through;
    this.push({ kind: 'truncate', flushedThrough: through });
  }

  /** Takes the state below `idlePrefix`, which is in the store by now, for its own. */
  install(state: GroupState, store: StoreReader): void {
    this.state_ = state;
    this.options.stateMachine.load(slotPrefix(this.options.prefix, state.slot), store);
    this.push({ kind: 'snapshot-installed', through: state.appliedThrough });
  }

  get founding(): GroupOptions<R>['founding'] {
    return this.options.founding;
  }

  status(): GroupStatus {
    const { replica } = this;
    return {
      group: this.founding.group,
      replicaId: this.self.replicaId,
      role: replica.role,
      promised: replica.promised,
      leader: this.leaderNode(),
      chosenThrough: replica.chosenThrough,
      appliedThrough: this.state_.appliedThrough,
      truncatedThrough: replica.truncatedThrough,
      members: this.founding.members,
    };
  }

  leaderNode(): NodeId | undefined {
    const ballot = this.replica.leaderBallot;
    return ballot === undefined ? undefined : this.memberOf(ballot.replica)?.nodeId;
  }

  memberOf(replicaId: number): Member | undefined {
    return this.founding.members.find((member) => member.replicaId === replicaId);
  }

  propose(command: Uint8Array): Promise<ProposeResult<R>> {
    if (this.stopped || this.replica.role === 'follower') return Promise.resolve(this.notLeader());
    if (this.waitingBytes + command.length > WAITING_BYTES_MAX) return Promise.resolve({ kind: 'overloaded' });
    this.waitingBytes += command.length;
    this.wake();
    return new Promise((resolve) => {
      this.batch.commands.push(command);
      this.batch.proposers.push(resolve);
    });
  }

  readBarrier(): Promise<BarrierResult> {
    if (this.stopped || this.replica.role === 'follower') return Promise.resolve(this.notLeader());
    this.wake();
    return new Promise((resolve) => this.readers.push(resolve));
  }

  /** Queues an input for the next turn. */
  push(input: Input): void {
    this.inputs.push(input);
    this.wake();
  }

  /** Runs the turn's inputs through the replica. @returns the effects of each step, in order */
  step(): Effects[] {
    if (this.batch.commands.length > 0) {
      const bytes = this.batch.commands.reduce((sum, command) => sum + command.length, 0);
      this.proposals.set(this.nextToken, { batch: this.batch, bytes });
      this.inputs.push({ kind: 'propose', token: this.nextToken++, value: this.batch.commands });
      this.batch = { commands: [], proposers: [] };
    }
    if (this.readers.length > 0) {
      this.reads.set(this.nextToken, this.readers);
      this.inputs.push({ kind: 'read', token: this.nextToken++ });
      this.readers = [];
    }
    const effects = this.inputs.map((input) => this.replica.step(input));
    this.inputs.length = 0;
    return effects;
  }

  /** Applies chosen entries, in order, inside the turn's store transaction. */
  apply(transaction: StoreTransaction, entries: readonly ChosenEntry[]): void {
    for (const { instance, value } of entries) {
      if (instance <= this.state_.appliedThrough) continue; // The store was ahead of the log's known watermark at the last start.
      invariant(
        instance === this.state_.appliedThrough + 1,
        'applied-in-order',
        () => `${instance} after ${this.state_.appliedThrough}`,
      );
      this.results.set(
        instance,
        value.map((command, index) => this.options.stateMachine.apply(transaction, command, { instance, index })),
      );
      this.state_ = { ...this.state_, appliedThrough: instance };
    }
  }

  /** Tells callers what became of their requests, after the turn's store transaction has committed. */
  settle(effects: readonly Effects[]): void {
    for (const { settled } of effects) {
      for (const settlement of settled) {
        const { token } = settlement;
        const proposal = this.proposals.get(token);
        if (proposal !== undefined) {
          this.proposals.delete(token);
          this.waitingBytes -= proposal.bytes;
          proposal.batch.proposers.forEach((resolve, index) => {
            resolve(this.proposalResult(settlement, index));
          });
          continue;
        }
        const readers = this.reads.get(token) ?? [];
        this.reads.delete(token);
        for (const resolve of readers) resolve(this.barrierResult(settlement));
      }
    }
    this.results.clear();
  }

  /** Reports a change of leadership since the last call. */
  leadershipChange(): boolean | undefined {
    const leads = this.replica.leads && !this.stopped;
    if (leads === this.led) return undefined;
    this.led = leads;
    return leads;
  }

  get leads(): boolean {
    return this.led;
  }

  stop(): void {
    this.stopped = true;
    for (const { batch } of this.proposals.values())
      for (const resolve of batch.proposers) resolve({ kind: 'unknown' });
    for (const resolve of this.batch.proposers) resolve(this.notLeader());
    for (const readers of this.reads.values()) for (const resolve of readers) resolve(this.notLeader());
    for (const resolve of this.readers) resolve(this.notLeader());
    this.proposals.clear();
    this.reads.clear();
  }

  /** Whether the believed leader's node, by its own list, no longer leads this group under the believed ballot. */
  unlisted(peerList: ReadonlyMap<string, Ballot>): boolean {
    const believed = this.replica.leaderBallot;
    if (believed === undefined) return false;
    const listed = peerList.get(this.founding.group);
    if (listed !== undefined && compareBallots(listed, believed) === 0) {
      this.watch.listed = believed;
      return false;
    }
    // A leader that has yet to finish phase 1 is not listed: only a listing that ended says something.
    return this.watch.listed !== undefined && compareBallots(this.watch.listed, believed) === 0;
  }

  private notLeader(): { kind: 'not-leader'; leader: NodeId | undefined } {
    const leader = this.leaderNode();
    return { kind: 'not-leader', leader: leader === this.self.nodeId ? undefined : leader };
  }

  private proposalResult(settlement: Effects['settled'][number], index: number): ProposeResult<R> {
    switch (settlement.outcome) {
      case 'chosen': {
        const result = this.results.get(settlement.instance);
        // Chosen proposals settle in the step that delivers them, so their results are this turn's.
        invariant(result !== undefined && index < result.length, 'settled-when-applied');
        return { kind: 'applied', instance: settlement.instance, result: result[index] as R };
      }
      case 'overloaded':
        return { kind: 'overloaded' };
      case 'not-leader':
        return this.notLeader();
      case 'unknown':
      case 'read-ready':
        return { kind: 'unknown' };
    }
  }

  private barrierResult(settlement: Effects['settled'][number]): BarrierResult {
    switch (settlement.outcome) {
      case 'read-ready':
        invariant(settlement.instance <= this.state_.appliedThrough, 'read-after-applied');
        return { kind: 'ready', applied: this.state_.appliedThrough };
      case 'overloaded':
        return { kind: 'overloaded' };
      case 'not-leader':
      case 'unknown':
      case 'chosen':
        return this.notLeader();
    }
  }
}
