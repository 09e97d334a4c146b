import type { ReplicaId } from './ballot';
import type { Value } from './messages';

/** What the protocol has to know of a member. Hosts keep more beside it. */
export interface ConfiguredMember {
  readonly replicaId: ReplicaId;
  /** Is told everything, and counts in no quorum. */
  readonly learner: boolean;
}

/** Who the members of a group are, over a stretch of its log. */
export interface Configuration<M extends ConfiguredMember = ConfiguredMember> {
  /** 0 for the founding; each change adds one. */
  readonly version: number;
  readonly members: readonly M[];
  /** Highest replica id ever allotted. Invariant `replica-id-never-reused`: what a removed replica promised binds no one else. */
  readonly highestId: ReplicaId;
}

/** First bytes of the one command of a value that changes the configuration. No other command starts with 0. */
const TAG = Uint8Array.of(0x00, 0x63, 0x66, 0x67);

/** The configuration of a founding: everybody votes. */
export function foundingOf<M extends { readonly replicaId: ReplicaId }>(
  members: readonly M[],
): Configuration<M & ConfiguredMember> {
  return {
    version: 0,
    members: members.map((member) => ({ ...member, learner: false })),
    highestId: Math.max(...members.map(({ replicaId }) => replicaId)),
  };
}

/** A change as the log holds it: the whole new configuration, so that no reader has to know the one before. */
export function changeTo(configuration: Configuration): Value {
  const text = new TextEncoder().encode(JSON.stringify(configuration));
  const command = new Uint8Array(TAG.length + text.length);
  command.set(TAG);
  command.set(text, TAG.length);
  return [command];
}

/** @returns the configuration that a value changes to; `undefined` for values that change none */
export function changeIn<M extends ConfiguredMember = ConfiguredMember>(value: Value): Configuration<M> | undefined {
  const [command] = value;
  if (command === undefined || value.length > 1 || !TAG.every((byte, index) => command[index] === byte))
    return undefined;
  return JSON.parse(new TextDecoder().decode(command.subarray(TAG.length))) as Configuration<M>;
}

/**
 * Whether one configuration may follow another. Their voters differ by one member at most, so that any quorum of the one meets any
 * quorum of the other (invariant `one-voter-at-a-time`); decision 0010 has the proof that rests on it.
 */
export function mayFollow(next: Configuration, current: Configuration): boolean {
  const before = new Map(current.members.map((member) => [member.replicaId, member]));
  const ids = new Set(next.members.map(({ replicaId }) => replicaId));
  const fresh = next.members.filter(({ replicaId }) => !before.has(replicaId));
  const gained = voters(next).filter((id) => before.get(id)?.learner !== false);
  const lost = voters(current).filter((id) => !voters(next).includes(id));
  return (
    next.version === current.version + 1 &&
    ids.size === next.members.length &&
    voters(next).length > 0 &&
    gained.length + lost.length <= 1 &&
    fresh.every(({ replicaId }) => replicaId > current.highestId && replicaId <= next.highestId) &&
    next.highestId >= current.highestId
  );
}

export function voters({ members }: Configuration): ReplicaId[] {
  return members.filter(({ learner }) => !learner).map(({ replicaId }) => replicaId);
}
