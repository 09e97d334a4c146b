import type { GroupConfiguration, GroupMember, NodeId } from '@synod/replication';
import { voters, type Instance, type ReplicaId } from '@synod/paxos';
import { EtcdError, type EtcdErrorName } from './state/errors';

/** What can be asked of the members of the cluster. Addresses are where a member serves its peers. */
export type MemberOperation =
  | { readonly kind: 'add'; readonly address: string; readonly learner: boolean }
  | { readonly kind: 'remove'; readonly replicaId: ReplicaId }
  | { readonly kind: 'update'; readonly replicaId: ReplicaId; readonly address: string }
  | { readonly kind: 'promote'; readonly replicaId: ReplicaId }
  /**
   * A node with an empty data folder takes the place that was added under its address; or comes back to the one that it had with a folder
   * that is lost.
   */
  | { readonly kind: 'take'; readonly address: string; readonly nodeId: NodeId; readonly incarnation: string };

/** The cluster as its leader sees it. */
export interface MemberView {
  readonly configuration: GroupConfiguration;
  /** Where a member is that the configuration names no address for: a founder that never moved. */
  readonly addressOf: (member: GroupMember) => string | undefined;
  /** Whether the leader is in conversation with a member; it always is with itself. */
  readonly isConnected: (member: GroupMember) => boolean;
  readonly chosenThrough: Instance;
  readonly progressOf: (replicaId: ReplicaId) => Instance | undefined;
  /** Changes are refused that would leave too few members started or connected (etcd: strict-reconfig-check). */
  readonly strict: boolean;
}

/** As in etcd. More would each cost the leader a copy of everything it sends. */
const LEARNERS_MAX = 1;
/** Instances that a member may be behind on which a quorum is to rest: a moment's worth, so that nobody waits for it. */
const LAG_MAX = 256;

/**
 * The configuration that an operation makes of the present one.
 * Source of the rules and of their order: etcd, server/etcdserver. A learner may be added while a voter is down, unlike there (its #21667): it
 * changes no quorum, and whoever replaces a lost member begins with it.
 * @returns the present configuration itself if nothing has to change
 * @throws {EtcdError}
 */
export function nextConfiguration(view: MemberView, operation: MemberOperation): GroupConfiguration {
  const { configuration } = view;
  switch (operation.kind) {
    case 'add':
      return add(view, operation.address, operation.learner);
    case 'remove':
      refuseLossOfQuorum(view, memberOf(configuration, operation.replicaId));
      return next(view, (members) => members.filter(({ replicaId }) => replicaId !== operation.replicaId));
    case 'update': {
      const { address } = operation;
      const moved = memberOf(configuration, operation.replicaId);
      const other = memberAt(view, address);
      if (other !== undefined && other.replicaId !== moved.replicaId) throw new EtcdError('peer-urls-exist');
      return replace(view, { ...moved, address });
    }
    case 'promote': {
      const learner = memberOf(configuration, operation.replicaId);
      if (!learner.learner) throw new EtcdError('member-not-learner');
      // One that told nothing yet may not even have heard of its place: in a short log that would pass for being a little behind.
      const told = (view.progressOf(learner.replicaId) ?? 0) > 0;
      if (!isStarted(learner) || !told || !isInSync(view, learner)) throw new EtcdError('learner-not-ready');
      refuseUnless(
        !view.strict || startedVoters(configuration).length + 1 >= quorumOf(voters(configuration).length + 1),
        'not-enough-started',
      );
      return replace(view, voting(learner));
    }
    case 'take':
      return take(view, operation);
  }
}

function add(view: MemberView, address: string, learner: boolean): GroupConfiguration {
  const { configuration } = view;
  if (memberAt(view, address) !== undefined) throw new EtcdError('peer-urls-exist');
  if (learner) {
    const learners = configuration.members.filter((member) => member.learner);
    refuseUnless(learners.length < LEARNERS_MAX, 'too-many-learners');
  } else if (view.strict) {
    refuseTooFewStarted(configuration);
    refuseUnless(
      configuration.members.every((member) => member.learner || view.isConnected(member)),
      'unhealthy',
    );
  }
  const replicaId = configuration.highestId + 1;
  const added = next(view, (members) => [...members, { replicaId, learner, address }]);
  return { ...added, highestId: replicaId };
}

/** A member that has not started yet counts, the new one too: with two of those the others could lose their quorum. */
function refuseTooFewStarted(configuration: GroupConfiguration): void {
  const started = startedVoters(configuration).length;
  const count = voters(configuration).length;
  // The second member of a cluster that is put together again: there is nothing to lose.
  if (started === 1 && count === 1) return;
  refuseUnless(started >= quorumOf(count + 1), 'not-enough-started');
}

function take(
  view: MemberView,
  { address, nodeId, incarnation }: MemberOperation & { kind: 'take' },
): GroupConfiguration {
  const { configuration } = view;
  const place = memberAt(view, address);
  if (place === undefined) throw new EtcdError('member-not-found');
  if (place.nodeId === nodeId && place.incarnation === incarnation) return configuration;
  if (place.nodeId === nodeId) return bringBack(view, place, { nodeId, incarnation, address });
  const named = configuration.members.some((member) => member.nodeId === nodeId);
  // Who has a place keeps it: another disk in it would vote on what it never promised.
  refuseUnless(!isStarted(place) && !named, 'member-exists');
  return replace(view, { ...place, nodeId, incarnation });
}

/**
 * A member whose disk is gone comes back as a new replica that learns first: invariant `replica-id-never-reused`, nobody votes under
 * the id of one who has forgotten what it promised. Not while the old one runs: two folders under one name are a mistake, not a loss.
 */
function bringBack(
  view: MemberView,
  lost: GroupMember,
  back: Required<Pick<GroupMember, 'nodeId' | 'incarnation' | 'address'>>,
): GroupConfiguration {
  refuseUnless(!view.isConnected(lost), 'member-exists');
  // Nobody asked for it: an operator's leave to go without the check is not meant for this.
  refuseLossOfQuorum({ ...view, strict: true }, lost);
  const replicaId = view.configuration.highestId + 1;
  const returns = lost.learner && lost.returns !== true ? {} : ({ returns: true } as const);
  const changed = next(view, (members) => [
    ...members.filter((member) => member.replicaId !== lost.replicaId),
    { replicaId, learner: true, ...back, ...returns },
  ]);
  return { ...changed, highestId: replicaId };
}

function voting({ returns: _, ...learner }: GroupMember): GroupMember {
  return { ...learner, learner: false };
}

/** What is left must be a quorum of members that have started and, unless the one that goes is down anyway, that are connected. */
function refuseLossOfQuorum(view: MemberView, leaving: GroupMember): void {
  const { configuration } = view;
  // Nobody would be left to say anything, whatever an operator insists on.
  refuseUnless(leaving.learner || voters(configuration).length > 1, 'not-enough-started');
  if (leaving.learner || !view.strict) return;
  const others = startedVoters(configuration).filter(({ replicaId }) => replicaId !== leaving.replicaId);
  const quorum = quorumOf(voters(configuration).length - 1);
  refuseUnless(others.length >= quorum, 'not-enough-started');
  // The removal would wait for them, and all writes behind it.
  refuseUnless(others.filter((member) => isInSync(view, member)).length >= quorum, 'unhealthy');
  if (!view.isConnected(leaving)) return;
  refuseUnless(others.filter(view.isConnected).length >= quorum, 'unhealthy');
}

function isInSync({ chosenThrough, progressOf }: MemberView, { replicaId }: GroupMember): boolean {
  return chosenThrough - (progressOf(replicaId) ?? 0) <= LAG_MAX;
}

function refuseUnless(holds: boolean, error: EtcdErrorName): void {
  if (!holds) throw new EtcdError(error);
}

function quorumOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

export function isStarted(member: GroupMember): boolean {
  return member.nodeId !== undefined;
}

function startedVoters({ members }: GroupConfiguration): GroupMember[] {
  return members.filter((member) => !member.learner && isStarted(member));
}

function memberOf({ members }: GroupConfiguration, id: ReplicaId): GroupMember {
  const member = members.find(({ replicaId }) => replicaId === id);
  if (member === undefined) throw new EtcdError('member-not-found');
  return member;
}

function memberAt({ configuration, addressOf }: MemberView, address: string): GroupMember | undefined {
  return configuration.members.find((member) => addressOf(member) === address);
}

function replace(view: MemberView, changed: GroupMember): GroupConfiguration {
  return next(view, (members) => members.map((member) => (member.replicaId === changed.replicaId ? changed : member)));
}

/** The first change writes down where the founders are: whoever reads the log later has not their flags. */
function next(
  { configuration, addressOf }: MemberView,
  change: (members: readonly GroupMember[]) => GroupMember[],
): GroupConfiguration {
  const located = configuration.members.map((member) => {
    const address = addressOf(member);
    return address === undefined ? member : { ...member, address };
  });
  return { version: configuration.version + 1, members: change(located), highestId: configuration.highestId };
}
