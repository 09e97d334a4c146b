import { invariant } from '@synod/invariant';
import { DEFAULT_TIMES, type Group, type GroupConfiguration, type GroupOptions, type NodeId } from '@synod/replication';
import { SynodError, type Clock, type Log, type Probes, type Random, type Store, type Timers } from '@synod/runtime';
import { identityOf, type Caller } from './auth/caller';
import { Gatekeeper, type Question } from './auth/gatekeeper';
import { SimpleTokens } from './auth/simple-tokens';
import type { TokenProvider } from './auth/token-provider';
import { LeaderAccess, requestTimeoutUs } from './leader-access';
import { LeaderDesk } from './leader-desk';
import type { LeaderLink } from './leader-link';
import type { MemberOperation } from './member-changes';
import { AppliedWaits } from './applied-waits';
import { AutoCompaction } from './auto-compaction';
import { CompactionSteps } from './compaction-steps';
import { DivergenceWatch } from './divergence-watch';
import type { Retention } from './retention';
import { LeaseKeeper } from './lease-keeper';
import { Leases } from './leases';
import { Proposals, resultOf } from './proposals';
import { ReadGate } from './read-gate';
import { AUDIT_PERIOD_US, ReplicaAudit } from './replica-audit';
import { SpaceWatch, type SpaceLimits, type StorageGauge } from './space-watch';
import { isRaised } from './state/alarm';
import { checkAuthCommand, type AuthCommand } from './state/auth/auth-commands';
import type { AuthSpace } from './state/auth/auth-space';
import { compactionPending } from './state/compaction';
import { EtcdError } from './state/errors';
import { readRange, readTxn, type Refused } from './state/read';
import { checkOperation, DEFAULT_REQUEST_LIMITS, type Identity, type RequestLimits } from './state/request-check';
import {
  isReadOnly,
  type Alarm,
  type AlarmChange,
  type DeleteRangeRequest,
  type LeaseId,
  type LeaseRemaining,
  type PutRequest,
  type RangeRequest,
  type Revision,
  type TxnRequest,
} from './state/requests';
import type { ApplyResult, DeleteRangeResult, PutResult, RangeResult, TxnResult } from './state/results';
import { EtcdStateMachine, type Applied, type StateCheck } from './state/state-machine';
import { SnapshotViews } from './snapshot-views';
import { WatchHub } from './watch-hub';

/** Events that one step of a compaction looks at. */
const COMPACT_STEP_EVENTS = 1_000;
/** Hashes on their way to the leader. */
const REPORTS_INFLIGHT_MAX = 16;

export interface CoordinationHostOptions {
  readonly nodeId: NodeId;
  /** Of every key of the group in the store. */
  readonly prefix: Buffer;
  readonly store: Store;
  readonly ports: {
    readonly clock: Clock;
    readonly timers: Timers;
    readonly random: Random;
    readonly log: Log;
    readonly probes: Probes;
  };
  readonly link: LeaderLink;
  /** How clients prove who they are once users are checked; by what is in the log if absent. */
  readonly tokens?: TokenProvider;
  /** Whether a client without a token is the user whom its certificate names. */
  readonly certificatesName?: boolean;
  /** etcd's by default. */
  readonly limits?: RequestLimits;
  /** How long a leader may be silent; what waits for a new one, or must outlive the search for it, goes by this. */
  readonly electionTimeoutUs?: number;
  /** Adds the group to this node's replica host. */
  readonly join: (
    part: Pick<GroupOptions<ApplyResult>, 'stateMachine' | 'prefix' | 'leadershipChanged'>,
  ) => Group<ApplyResult>;
  /** Changes the members as the leader sees them; absent where they are fixed. */
  readonly changeMembers?: (operation: MemberOperation) => Promise<GroupConfiguration>;
  /** The number that clients know a member by. */
  readonly memberNumber: (nodeId: NodeId) => bigint;
  /** Whether there is a member of that number; absent where the members are fixed. */
  readonly isMember?: (member: bigint) => boolean;
  /** Called once if a majority found this member's state to be another one than theirs. */
  readonly stateDiffers?: () => void;
  readonly maintenance?: MaintenanceOptions;
  /** Called when this member starts to lead (and may serve) or stops. */
  readonly leadershipChanged?: (leads: boolean) => void;
}

export interface MaintenanceOptions {
  /** How much of it there is, and may be; absent where nothing is measured. */
  readonly storage?: { readonly gauge: StorageGauge; readonly limits: SpaceLimits };
  /** Of the history; absent for all of it. */
  readonly retention?: Retention;
  /** From one comparison of the members' states to the next. */
  readonly auditPeriodUs?: number;
}

/**
 * The coordination service on one member: any member answers anything. Writes go through the log by way of the leader, reads wait for
 * a barrier there and are answered from this member's own state, watches from its own log order.
 * Every method that talks to the leader throws `EtcdError`.
 */
export class CoordinationHost {
  readonly watches: WatchHub;
  readonly group: Group<ApplyResult>;
  readonly desk: LeaderDesk;
  readonly gatekeeper: Gatekeeper;
  readonly limits: RequestLimits;
  readonly electionTimeoutUs: number;
  readonly snapshots: SnapshotViews;
  readonly leases: Leases;
  private readonly machine: EtcdStateMachine;
  private readonly access: LeaderAccess;
  private readonly proposals: Proposals;
  private readonly leaseKeeper: LeaseKeeper;
  private readonly gate: ReadGate;
  private readonly audit: ReplicaAudit;
  /** Absent where nothing is measured. */
  readonly space: SpaceWatch | undefined;
  private readonly autoCompaction: AutoCompaction | undefined;
  private readonly divergence: DivergenceWatch;
  private reporting = 0;
  private readonly waits: AppliedWaits;
  private readonly compactionSteps: CompactionSteps;
  /** As of what was applied last; undefined until somebody asks. */
  private alarmsNow: readonly Alarm[] | undefined;
  private leads = false;

  constructor(private readonly options: CoordinationHostOptions) {
    const { ports, store, prefix, nodeId, electionTimeoutUs = DEFAULT_TIMES.electionTimeoutUs } = options;
    this.limits = options.limits ?? DEFAULT_REQUEST_LIMITS;
    this.electionTimeoutUs = electionTimeoutUs;
    const timeoutUs = requestTimeoutUs(electionTimeoutUs);
    this.waits = new AppliedWaits(ports.timers, timeoutUs);
    this.machine = new EtcdStateMachine(
      prefix,
      (applied) => this.applied(applied),
      () => this.loaded(),
    );
    const { keySpace } = this.machine;
    this.watches = new WatchHub(keySpace, store, ports.timers);
    this.snapshots = new SnapshotViews(store, keySpace, ports.timers);
    this.compactionSteps = new CompactionSteps(ports.timers, {
      leads: () => this.leads,
      pending: () => compactionPending(keySpace, store),
      step: () => this.group.propose(this.proposals.encodeOwn({ kind: 'compact-step', events: COMPACT_STEP_EVENTS })),
    });
    this.leaseKeeper = new LeaseKeeper(
      ports,
      keySpace,
      store,
      (id) => this.expire(id),
      (leases) => this.checkpoint(leases),
    );
    const { storage, retention, auditPeriodUs = AUDIT_PERIOD_US } = options.maintenance ?? {};
    this.audit = new ReplicaAudit(
      ports,
      () => this.group,
      auditPeriodUs,
      options.memberNumber,
      (member) => void this.raiseCorrupt(member),
    );
    const tokens = options.tokens ?? new SimpleTokens(ports);
    const barrier = (): Promise<void> => this.gate.pass();
    this.gatekeeper = new Gatekeeper(this.machine.authorities, store, tokens, barrier, options.certificatesName);
    this.group = options.join({
      stateMachine: this.machine,
      prefix,
      leadershipChanged: (leads) => this.leadershipChanged(leads),
    });
    const changeMembers = options.changeMembers ?? membersAreFixed;
    this.desk = new LeaderDesk(this.group, keySpace, store, this.leaseKeeper, this.audit, changeMembers);
    this.access = new LeaderAccess(ports, nodeId, this.group, this.desk, options.link, timeoutUs);
    this.gate = new ReadGate(ports.timers, () => this.catchUpWithLeader());
    const member = options.memberNumber(nodeId);
    const ownAlarm = { member, type: 'no-space', automatic: true } as const;
    this.space =
      storage &&
      new SpaceWatch(ports, storage.gauge, storage.limits, {
        raised: () => this.alarms.find((alarm) => alarm.member === member && alarm.type === 'no-space'),
        change: (action) => this.changeAlarm({ action, ...ownAlarm }, 'service').then(nothing, nothing),
      });
    this.proposals = new Proposals({
      access: this.access,
      gatekeeper: this.gatekeeper,
      limits: this.limits,
      leads: () => this.leads,
      alarms: () => this.alarms,
      space: this.space,
    });
    const { access, gate, gatekeeper, proposals } = this;
    this.leases = new Leases({ ports, store, keySpace, access, gate, gatekeeper, proposals, electionTimeoutUs });
    this.divergence = new DivergenceWatch(ports, {
      alarms: () => this.alarms,
      self: () => options.memberNumber(nodeId),
      isMember: options.isMember ?? ((): boolean => true),
      leads: () => this.leads,
      differs: options.stateDiffers ?? nothing,
      clear: ({ member, type, automatic }) =>
        this.changeAlarm({ action: 'clear', member, type, automatic }, 'service').then(nothing, nothing),
    });
    this.autoCompaction =
      retention &&
      new AutoCompaction(ports, retention, {
        revision: () => this.revision,
        leads: () => this.leads,
        compact: (revision) => this.compact(revision, false, 'service').then(nothing, nothing),
      });
  }

  /** The revision that this member has applied. */
  get revision(): Revision {
    return this.watches.revision;
  }

  get isLeader(): boolean {
    return this.leads;
  }

  get hasLeader(): boolean {
    return this.group.status().leader !== undefined;
  }

  /** Waits until this member's state shows everything that was acknowledged anywhere before the call. */
  readBarrier(): Promise<void> {
    return this.gate.pass();
  }

  /** @param serializable read this member's state as it is, however old: needs no leader */
  async range(request: RangeRequest, serializable = false, caller: Caller = 'client'): Promise<RangeResult> {
    checkOperation(request, 'client', this.limits);
    if (!serializable) await this.gate.pass();
    if (this.gatekeeper.enabled) await this.demandOperation(request, caller);
    return granted(readRange(this.machine.keySpace, this.options.store, request));
  }

  async put(request: PutRequest, caller: Caller): Promise<PutResult> {
    checkOperation(request, identityOf(caller), this.limits);
    return resultOf('put', await this.proposals.propose(request, caller));
  }

  /** As `Proposals.proposeAll`. */
  putAll(requests: readonly PutRequest[], caller: Caller): Promise<readonly (PutResult | EtcdError)[] | undefined> {
    return this.proposals.proposeAll(requests, caller);
  }

  async deleteRange(request: DeleteRangeRequest, caller: Caller): Promise<DeleteRangeResult> {
    const identity = identityOf(caller);
    checkOperation(request, identity, this.limits);
    return resultOf('delete-range', await this.proposals.propose(sparing(request, identity), caller));
  }

  async txn(request: TxnRequest, caller: Caller, serializable = false): Promise<TxnResult> {
    const identity = identityOf(caller);
    checkOperation(request, identity, this.limits);
    if (!isReadOnly(request))
      return resultOf('txn', await this.proposals.propose(sparingTxn(request, identity), caller));
    if (!serializable) await this.gate.pass();
    if (this.gatekeeper.enabled) await this.demandOperation(request, caller);
    return granted(readTxn(this.machine.keySpace, this.options.store, request));
  }

  /** The alarms that this member knows to be raised. */
  get alarms(): readonly Alarm[] {
    return (this.alarmsNow ??= this.machine.keySpace.meta(this.options.store).alarms);
  }

  /** The alarms raised anywhere before the call. */
  async listAlarms(): Promise<readonly Alarm[]> {
    await this.gate.pass();
    return this.alarms;
  }

  /** @returns the alarms that are raised now, or were cleared now */
  async changeAlarm(
    change: Omit<AlarmChange, 'kind'>,
    caller: Caller = 'client',
  ): Promise<{ readonly revision: Revision; readonly alarms: readonly Alarm[] }> {
    return resultOf('alarms', await this.proposals.propose({ kind: 'alarm', ...change }, caller));
  }

  /** @param physical wait until what the compaction removes is removed here */
  async compact(revision: Revision, physical: boolean, caller: Caller = 'client'): Promise<Revision> {
    const result = resultOf('compacted', await this.proposals.propose({ kind: 'compact', revision }, caller));
    if (physical) await this.waits.until(() => !compactionPending(this.machine.keySpace, this.options.store));
    return result.revision;
  }

  /** Changes users or roles. @returns the store's revision, which that leaves as it is */
  async administer(command: AuthCommand, caller: Caller): Promise<Revision> {
    checkAuthCommand(command);
    return resultOf('auth-changed', await this.proposals.propose(command, caller)).revision;
  }

  /**
   * Users and roles, as they are after everything that was acknowledged before the call.
   * @param question why the caller may not read them, if so
   */
  async directory<T>(
    read: (space: AuthSpace, store: Store) => T,
    caller: Caller,
    question: Question = () => undefined,
  ): Promise<T> {
    await this.gate.pass();
    await this.gatekeeper.demand(caller, question);
    return read(this.machine.authSpace, this.options.store);
  }

  /** @returns the members once the change is chosen */
  async changeMembers(operation: MemberOperation): Promise<GroupConfiguration> {
    const { refusal, configuration } = await this.access.ask({ kind: 'change-members', operation });
    if (refusal !== undefined) throw new EtcdError(refusal);
    invariant(configuration !== undefined, 'result-fits-its-command');
    return configuration;
  }

  /**
   * Hands leadership to another member; this one must lead.
   * @throws {EtcdError} `not-leader`, `bad-leader-transferee`, `leader-transfer-timed-out`: then this member may lead on
   */
  async moveLeader(to: NodeId): Promise<void> {
    const result = await this.group.transferLeadership(to);
    switch (result.kind) {
      case 'transferred':
        return;
      case 'not-leader':
        throw new EtcdError('not-leader');
      case 'no-such-voter':
        throw new EtcdError('bad-leader-transferee');
      case 'not-transferred':
        throw new EtcdError('leader-transfer-timed-out');
    }
  }

  /** Ends watches and everything periodic. Requests in flight fail by their own deadlines. */
  stop(): void {
    this.compactionSteps.stop();
    this.leaseKeeper.resign();
    this.audit.resign();
    this.space?.stop();
    this.divergence.stop();
    this.autoCompaction?.stop();
    this.watches.stop();
  }

  private demandOperation(request: RangeRequest | TxnRequest, caller: Caller): Promise<void> {
    return this.gatekeeper.demand(caller, (authorities, store, authority) =>
      authorities.refuseOperation(store, authority, request),
    );
  }

  /** One round of the read gate: where the leader is now, this member's state must be. */
  private async catchUpWithLeader(): Promise<void> {
    const { applied } = await this.access.ask({ kind: 'barrier' });
    await this.waits.until(() => this.group.status().appliedThrough >= applied);
  }

  private applied({ changes, leases, checks, tokens, authChanged }: Applied): void {
    this.alarmsNow = undefined;
    // First, so that no watch is shown what came after its user lost the right to see it.
    this.gatekeeper.note(tokens, authChanged);
    this.watches.publish(changes);
    this.leaseKeeper.note(leases);
    for (const check of checks) void this.reportCheck(check);
    this.compactionSteps.begin();
    this.waits.look();
  }

  /** The first time when the group is joined. Leases are the leader's, which never lags so far. */
  private loaded(): void {
    this.alarmsNow = undefined;
    // Tokens may have been revoked in what was passed over: clients show their passwords again.
    this.gatekeeper.note([{ kind: 'all-revoked' }], true);
    this.watches.reload();
    this.waits.look();
  }

  private leadershipChanged(leads: boolean): void {
    this.leads = leads;
    if (leads) {
      this.leaseKeeper.lead();
      this.audit.lead();
      this.compactionSteps.begin();
    } else {
      this.leaseKeeper.resign();
      this.audit.resign();
    }
    this.options.leadershipChanged?.(leads);
  }

  /** Best effort: a report that is lost is made up for by the next pass. */
  private async reportCheck({ position, hash }: StateCheck): Promise<void> {
    // A member that replays its log meets many checks that nobody waits for any more.
    if (this.reporting >= REPORTS_INFLIGHT_MAX) return;
    this.reporting++;
    const report = { nodeId: this.options.nodeId, position, hash };
    await this.access.ask({ kind: 'report-state', report }).then(nothing, nothing);
    this.reporting--;
  }

  private async raiseCorrupt(member: bigint): Promise<void> {
    // The member may have been replaced since; then that state is gone already.
    if (member !== 0n && this.options.isMember?.(member) === false) return;
    if (this.alarms.some((alarm) => alarm.type === 'corrupt' && alarm.member === member)) return;
    const change = { action: 'raise', member, type: 'corrupt', automatic: true } as const;
    await this.changeAlarm(change, 'service').then(nothing, nothing);
  }

  private async checkpoint(leases: readonly LeaseRemaining[]): Promise<boolean> {
    const proposed = await this.group.propose(this.proposals.encodeOwn({ kind: 'lease-checkpoint', leases }));
    if (proposed.kind === 'applied') this.options.ports.probes.sometimes('lease-checkpointed');
    return proposed.kind === 'applied';
  }

  private async expire(id: LeaseId): Promise<void> {
    // It would be refused over and over; the lease ends when the operator has dealt with the alarm.
    if (isRaised(this.alarms, 'corrupt')) return;
    const proposed = await this.group.propose(this.proposals.encodeOwn({ kind: 'lease-revoke', id }));
    if (proposed.kind === 'applied') {
      this.options.ports.probes.sometimes('lease-expired');
      this.options.ports.log.debug('a lease expired', { lease: id });
    }
  }
}

function membersAreFixed(): never {
  throw new SynodError('unimplemented', 'the members of this cluster are fixed');
}

/** What becomes of a proposal that is tried again at the next occasion. */
function nothing(): void {}

function granted<T>(result: T | Refused): T {
  if (typeof result === 'object' && result !== null && 'error' in result) throw new EtcdError(result.error);
  return result;
}

function sparing(request: DeleteRangeRequest, identity: Identity): DeleteRangeRequest {
  return { ...request, spareReserved: identity === 'client' };
}

function sparingTxn(request: TxnRequest, identity: Identity): TxnRequest {
  const each = (operation: TxnRequest['success'][number]): TxnRequest['success'][number] =>
    operation.kind === 'delete-range'
      ? sparing(operation, identity)
      : operation.kind === 'txn'
        ? sparingTxn(operation, identity)
        : operation;
  return { ...request, success: request.success.map(each), failure: request.failure.map(each) };
}
