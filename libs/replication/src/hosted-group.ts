import { type Delivery, type Effects, type Input, type Instance, type Replica, type ReplicaId } from '@synod/paxos';
import { invariant } from '@synod/invariant';
import type { Clock, StoreReader, StoreTransaction } from '@synod/runtime';
import { VALUE_BYTES_MAX } from './api';
import type {
  BarrierResult,
  ChangeResult,
  GroupConfiguration,
  GroupMember,
  GroupOptions,
  GroupStatus,
  Member,
  NodeId,
  ProposeResult,
  ReconfigurableGroup,
  TransferResult,
} from './api';
import { HostedGroupStatus } from './group-status';
import { otherSlot, slotPrefix, type GroupState } from './group-states';
import { StandstillWatch } from './standstill-watch';

/** Commands waiting to be proposed, in bytes; one more is refused. A leader that cannot keep up says so instead of growing. */
const WAITING_BYTES_MAX = 16 << 20;

/** Nodes of replicas from further up the log, remembered at most. */
const STRANGERS_MAX = 64;

type Resolve<T> = (result: T) => void;

/** Commands of one event-loop turn, to be proposed as one value. Invariant `values-are-bounded`: as far as VALUE_BYTES_MAX lets them. */
interface OpenBatch<R> {
  readonly commands: Uint8Array[];
  /** Each is told what became of all of them, and knows which are its own. */
  readonly proposers: Resolve<ProposeResult<readonly R[]>>[];
  bytes: number;
}

/**
 * One group on this node: collects a turn's inputs for its replica, applies what the replica reports chosen, and tells each caller
 * what became of its request. Does no I/O: the `ReplicaHost` moves its records and messages.
 */
export class HostedGroup<R> implements ReconfigurableGroup<R> {
  private readonly inputs: Input[] = [];
  private batch: OpenBatch<R> = { commands: [], proposers: [], bytes: 0 };
  private readers: Resolve<BarrierResult>[] = [];
  private waitingBytes = 0;
  private nextToken = 1;
  private readonly proposals = new Map<number, OpenBatch<R>>();
  private readonly reads = new Map<number, Resolve<BarrierResult>[]>();
  private readonly changes = new Map<number, Resolve<ChangeResult>>();
  /** Where replicas are that this one, being behind, has not read of yet. */
  private readonly strangers = new Map<ReplicaId, NodeId>();
  private readonly transfers = new Map<number, Resolve<TransferResult>>();
  /** Results of the instances applied in this turn, until their proposers are told. */
  private readonly results = new Map<number, R[]>();
  /** Every instance up to here is in the store for good. */
  flushedThrough = 0;
  /** Replicas of the group that were on this node before, and never start again. */
  destroyed: ReadonlySet<ReplicaId> = new Set();
  private readonly standstill: StandstillWatch;
  private led = false;
  private noted: GroupConfiguration;
  private stopped = false;

  constructor(
    readonly options: GroupOptions<R>,
    readonly self: Member,
    readonly replica: Replica,
    /** What the store holds. Its applied index grows by one: invariant `applied-in-order`. */
    private state_: GroupState,
    private readonly wake: () => void,
    private readonly clock: Clock,
  ) {
    this.standstill = new StandstillWatch(clock);
    this.noted = this.configuration;
  }

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

  /** Takes the state below `idlePrefix`, which is in the store by now, for its own, and the configuration after it. */
  install(state: GroupState, configuration: GroupConfiguration, store: StoreReader): void {
    this.state_ = state;
    this.options.stateMachine.load(slotPrefix(this.options.prefix, state.slot), store);
    const { appliedThrough: through, term } = state;
    this.push({ kind: 'snapshot-installed', through, term, configuration });
  }

  get founding(): GroupOptions<R>['founding'] {
    return this.options.founding;
  }

  status(): GroupStatus {
    return new HostedGroupStatus(this);
  }

  get configuration(): GroupConfiguration {
    return this.replica.configuration;
  }

  leaderNode(): NodeId | undefined {
    const ballot = this.replica.leaderBallot;
    return ballot === undefined ? undefined : this.nodeOf(ballot.replica);
  }

  memberOf(replicaId: ReplicaId): GroupMember | undefined {
    return this.configuration.members.find((member) => member.replicaId === replicaId);
  }

  nodeOf(replicaId: ReplicaId): NodeId | undefined {
    // A member that was removed just now is told so: it is no longer in the configuration, but was in the one before.
    const before = (): NodeId | undefined =>
      this.noted.members.find((member) => member.replicaId === replicaId)?.nodeId;
    return this.memberOf(replicaId)?.nodeId ?? before() ?? this.strangers.get(replicaId);
  }

  /** @returns whether the group has had that replica, and removed it */
  hasRemoved(replicaId: ReplicaId): boolean {
    return this.memberOf(replicaId) === undefined && replicaId <= this.configuration.highestId;
  }

  /** A node speaks for a replica whose node this one has not read of. */
  meet(replicaId: ReplicaId, nodeId: NodeId): void {
    if (this.strangers.size < STRANGERS_MAX) this.strangers.set(replicaId, nodeId);
  }

  propose(command: Uint8Array): Promise<ProposeResult<R>> {
    const refused = this.refuseProposal(command.length);
    if (refused !== undefined) return Promise.resolve(refused);
    const { commands, proposers } = this.batch;
    const index = commands.push(command) - 1;
    return new Promise((resolve) => {
      proposers.push((outcome) =>
        resolve(outcome.kind === 'applied' ? { ...outcome, result: outcome.result[index] as R } : outcome),
      );
    });
  }

  proposeAll(commands: readonly Uint8Array[]): Promise<ProposeResult<readonly R[]>> {
    const refused = this.refuseProposal(commands.reduce((sum, command) => sum + command.length, 0));
    if (refused !== undefined) return Promise.resolve(refused);
    const { commands: all, proposers } = this.batch;
    const first = all.length;
    for (const command of commands) all.push(command);
    return new Promise((resolve) => {
      proposers.push((outcome) => {
        if (outcome.kind !== 'applied') return resolve(outcome);
        resolve({ ...outcome, result: outcome.result.slice(first, first + commands.length) });
      });
    });
  }

  readBarrier(): Promise<BarrierResult> {
    if (this.stopped || this.replica.role === 'follower') return Promise.resolve(this.notLeader());
    this.wake();
    return new Promise((resolve) => this.readers.push(resolve));
  }

  transferLeadership(to: NodeId): Promise<TransferResult> {
    if (this.stopped || this.replica.role !== 'leader') return Promise.resolve(this.notLeader());
    const member = this.configuration.members.find(({ nodeId }) => nodeId === to);
    if (member === undefined || member.learner) return Promise.resolve({ kind: 'no-such-voter' });
    const token = this.nextToken++;
    this.push({ kind: 'transfer', token, to: member.replicaId });
    return new Promise((resolve) => this.transfers.set(token, resolve));
  }

  change(next: GroupConfiguration): Promise<ChangeResult> {
    if (this.stopped || this.replica.role === 'follower') return Promise.resolve(this.notLeader());
    const token = this.nextToken++;
    this.push({ kind: 'change', token, configuration: next });
    return new Promise((resolve) => this.changes.set(token, resolve));
  }

  progressOf(replicaId: ReplicaId): Instance | undefined {
    return this.replica.progressOf(replicaId);
  }

  /** Queues an input for the next turn. */
  push(input: Input): void {
    this.inputs.push(input);
    this.wake();
  }

  /** Runs the turn's inputs through the replica. @returns the effects of each step, in order */
  step(): Effects[] {
    this.closeBatch();
    if (this.readers.length > 0) {
      this.reads.set(this.nextToken, this.readers);
      this.inputs.push({ kind: 'read', token: this.nextToken++ });
      this.readers = [];
    }
    // Read when all of the turn's inputs have come, and before any of them takes effect: what is granted or asked for does not begin too early or too late.
    if (this.replica.mindsTime) {
      if (this.standstill.look()) this.inputs.unshift({ kind: 'time-doubted' });
      this.inputs.unshift({ kind: 'time', nowUs: this.clock.monotonicUs() });
    }
    const effects = this.inputs.map((input) => this.replica.step(input));
    this.inputs.length = 0;
    return effects;
  }

  /** Applies chosen entries, in order, inside the turn's store transaction. */
  apply(transaction: StoreTransaction, entries: readonly Delivery[]): void {
    for (const { instance, commands, term } of entries) {
      if (instance <= this.state_.appliedThrough) continue; // The store was ahead of the log's known watermark at the last start.
      invariant(
        instance === this.state_.appliedThrough + 1,
        'applied-in-order',
        () => `${instance} after ${this.state_.appliedThrough}`,
      );
      this.results.set(
        instance,
        commands.map((command, index) => this.options.stateMachine.apply(transaction, command, { instance, index })),
      );
      this.state_ = { ...this.state_, appliedThrough: instance, term };
    }
    this.options.stateMachine.finish?.(transaction);
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
          const outcome = this.proposalResult(settlement, proposal);
          for (const resolve of proposal.proposers) resolve(outcome);
          continue;
        }
        const change = this.changes.get(token);
        if (change !== undefined) {
          this.changes.delete(token);
          change(this.changeResult(settlement));
          continue;
        }
        const transfer = this.transfers.get(token);
        if (transfer !== undefined) {
          this.transfers.delete(token);
          transfer(this.transferResult(settlement));
          continue;
        }
        const readers = this.reads.get(token) ?? [];
        this.reads.delete(token);
        if (this.isLeaseOver(settlement)) {
          this.readers.push(...readers);
          this.wake();
          continue;
        }
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

  /** Reports a change of the configuration since the last call. */
  configurationChange(): GroupConfiguration | undefined {
    if (this.configuration.version === this.noted.version || this.stopped) return undefined;
    this.noted = this.configuration;
    return this.noted;
  }

  get leads(): boolean {
    return this.led;
  }

  stop(): void {
    this.stopped = true;
    for (const { proposers } of this.proposals.values()) for (const resolve of proposers) resolve({ kind: 'unknown' });
    for (const resolve of this.batch.proposers) resolve(this.notLeader());
    for (const readers of this.reads.values()) for (const resolve of readers) resolve(this.notLeader());
    for (const resolve of this.readers) resolve(this.notLeader());
    for (const resolve of this.changes.values()) resolve({ kind: 'unknown' });
    this.changes.clear();
    for (const resolve of this.transfers.values()) resolve({ kind: 'not-transferred' });
    this.transfers.clear();
    this.proposals.clear();
    this.reads.clear();
  }

  /**
   * Invariant `lease-checked-at-the-answer`: what rests on a lease is answered only if the clock, read now, says that it holds. The process may have stood
   * still since the replica looked.
   */
  private isLeaseOver(settlement: Effects['settled'][number]): boolean {
    if (settlement.outcome !== 'read-ready' || settlement.leasedUntilUs === undefined) return false;
    if (this.standstill.look()) {
      this.push({ kind: 'time-doubted' });
      return true;
    }
    return this.clock.monotonicUs() >= settlement.leasedUntilUs;
  }

  /** Why commands of so many bytes cannot be proposed, if so; else there is room for them in the batch. */
  private refuseProposal(bytes: number): { kind: 'overloaded' } | ReturnType<typeof this.notLeader> | undefined {
    if (this.stopped || this.replica.role === 'follower') return this.notLeader();
    if (this.waitingBytes + bytes > WAITING_BYTES_MAX) return { kind: 'overloaded' };
    if (this.batch.bytes + bytes > VALUE_BYTES_MAX) this.closeBatch();
    this.waitingBytes += bytes;
    this.batch.bytes += bytes;
    this.wake();
    return undefined;
  }

  /** What was proposed so far becomes one value. */
  private closeBatch(): void {
    const { batch } = this;
    if (batch.commands.length === 0) return;
    invariant(
      batch.bytes <= VALUE_BYTES_MAX || batch.commands.length === 1,
      'values-are-bounded',
      () => `${batch.bytes}`,
    );
    this.proposals.set(this.nextToken, batch);
    this.inputs.push({ kind: 'propose', token: this.nextToken++, value: batch.commands });
    this.batch = { commands: [], proposers: [], bytes: 0 };
  }

  private notLeader(): { kind: 'not-leader'; leader: NodeId | undefined } {
    const leader = this.leaderNode();
    return { kind: 'not-leader', leader: leader === this.self.nodeId ? undefined : leader };
  }

  private proposalResult(
    settlement: Effects['settled'][number],
    { commands }: OpenBatch<R>,
  ): ProposeResult<readonly R[]> {
    switch (settlement.outcome) {
      case 'chosen': {
        const result = this.results.get(settlement.instance);
        // Chosen proposals settle in the step that delivers them, so their results are this turn's.
        invariant(result?.length === commands.length, 'settled-when-applied');
        return { kind: 'applied', instance: settlement.instance, result };
      }
      case 'overloaded':
        return { kind: 'overloaded' };
      case 'not-leader':
        return this.notLeader();
      case 'unknown':
      case 'read-ready':
      case 'transferred':
      case 'not-transferred':
      case 'conflict':
        return { kind: 'unknown' };
    }
  }

  private changeResult({ outcome }: Effects['settled'][number]): ChangeResult {
    switch (outcome) {
      case 'chosen':
        return { kind: 'changed' };
      case 'not-leader':
        return this.notLeader();
      case 'conflict':
      case 'overloaded':
        return { kind: outcome };
      default:
        return { kind: 'unknown' };
    }
  }

  private transferResult({ outcome }: Effects['settled'][number]): TransferResult {
    if (outcome === 'transferred') return { kind: 'transferred' };
    return outcome === 'not-leader' ? this.notLeader() : { kind: 'not-transferred' };
  }

  private barrierResult(settlement: Effects['settled'][number]): BarrierResult {
    switch (settlement.outcome) {
      case 'read-ready':
        invariant(settlement.instance <= this.state_.appliedThrough, 'read-after-applied');
        return { kind: 'ready', applied: this.state_.appliedThrough };
      case 'overloaded':
        return { kind: 'overloaded' };
      default:
        return this.notLeader();
    }
  }
}
