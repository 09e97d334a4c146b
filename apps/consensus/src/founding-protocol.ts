import { messageCodec, type peerV1 } from '@synod/contracts';
import type { NodeId } from '@synod/replication';
import type { Codec, Protocol } from '@synod/runtime';
import type { ClusterFounding } from './founding-store';

/** What a founder knows, as it tells the others at connect and whenever it changes. */
export interface FounderReport {
  readonly nodeId: NodeId;
  readonly incarnation: string;
  readonly token: string;
  /** Absent while its data folder is empty. */
  readonly founding: ClusterFounding | undefined;
}

/** The Paxos group that the founders found. */
export const CONSENSUS_GROUP = 'consensus';

export function foundingProtocol(): Protocol<FounderReport, FounderReport> {
  return {
    name: '/synod.peer.v1.Peer/Found',
    up: reportCodec('synod.peer.v1.FoundRequest'),
    down: reportCodec('synod.peer.v1.FoundResponse'),
  };
}

function reportCodec(name: 'synod.peer.v1.FoundRequest' | 'synod.peer.v1.FoundResponse'): Codec<FounderReport> {
  const codec = messageCodec(name);
  return {
    encode: (batch) => codec.encode({ reports: batch.map(toWire) }),
    decode: (bytes) => codec.decode(bytes).reports.map(fromWire),
  };
}

function toWire({ nodeId, incarnation, token, founding }: FounderReport): peerV1.Founder {
  if (founding === undefined) return { nodeId, incarnation, token };
  const members = founding.members.map((member) => ({ ...member }));
  return { nodeId, incarnation, token, founding: { clusterId: founding.clusterId, group: CONSENSUS_GROUP, members } };
}

function fromWire({ nodeId, incarnation, token, founding }: peerV1.Founder__Output): FounderReport {
  if (founding === null || founding === undefined) return { nodeId, incarnation, token, founding: undefined };
  const members = founding.members.map((member) => ({ ...member }));
  return { nodeId, incarnation, token, founding: { clusterId: founding.clusterId, members } };
}
