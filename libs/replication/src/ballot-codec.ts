import { required, type peerV1 } from '@synod/contracts';
import type { Ballot } from '@synod/paxos';

export function ballotToWire(ballot: Ballot): peerV1.Ballot {
  return { round: ballot.round, replicaId: ballot.replica };
}

export function ballotFromWire(ballot: peerV1.Ballot__Output | null | undefined): Ballot {
  const { round, replicaId } = required(ballot, 'ballot');
  return { round: Number(round), replica: replicaId };
}
