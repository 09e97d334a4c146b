import { SynodError } from '@synod/runtime';
import type { GroupId, NodeId } from './api';
import type { Rebuilt } from './options';

/**
 * The refusal of a node whose log is gone: without it an acceptor has forgotten what it promised.
 * @param evidence what shows that there was one
 */
export function lostLog(evidence: string): SynodError {
  return new SynodError(
    'failed-precondition',
    `${evidence}, but the write-ahead log does not know of it: restore the data folder as a whole, this node must not vote on what it forgot`,
  );
}

/** The refusal of a node whose replica the group has removed. */
export function wasRemoved(group: GroupId, nodeId: NodeId): SynodError {
  return new SynodError(
    'failed-precondition',
    `${nodeId} was removed from group ${group} and takes part no more: to bring the node back, add it as a new member with an empty data folder`,
  );
}

/** The refusal of a node whose store is gone, or is not the one that belongs to its log. */
export function lostState(group: GroupId, { truncatedThrough, appliedThrough }: Rebuilt): SynodError {
  return new SynodError(
    'corrupt',
    `the log of group ${group} begins behind instance ${truncatedThrough}, and the store holds it only through ${appliedThrough}: restore the data folder as a whole`,
  );
}

/** The refusal of a node with another data folder than the one that held its replica. */
export function anotherDisk(group: GroupId, nodeId: NodeId, incarnation: string): SynodError {
  return new SynodError(
    'failed-precondition',
    `group ${group} has no replica on node ${nodeId} with data folder ${incarnation}: restore the folder that held it, it must not vote on what it forgot`,
  );
}

/** The refusal of a group that the log knows as another one. */
export function anotherFounding(group: GroupId): SynodError {
  return new SynodError(
    'failed-precondition',
    `group ${group} was founded here with other members; check the cluster id`,
  );
}
