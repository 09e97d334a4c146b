import { messageCodec, type peerV1 } from '@synod/contracts';
import type { GroupConfiguration, NodeId } from '@synod/replication';
import type { Codec, Protocol } from '@synod/runtime';
import type { ClusterFounding } from './founding-store';

/** What a founder knows, as it tells the others at connect and whenever it changes. */
export interface FounderReport {
  readonly nodeId: NodeId;
  readonly incarnation: string;
  readonly token: string;
  /** Absent while its data folder is empty. */
  readonly founding: ClusterFounding | undefined;
  /** Of a node that joins: the peer address of its place. */
  readonly joinsAt?: string;
  /** To a node that joins: the members, itself among them. */
  readonly membersNow?: GroupConfiguration;
  /** To a node that joins: why it must not. */
  readonly refusal?: string;
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

function toWire({ nodeId, incarnation, token, founding, joinsAt, membersNow, refusal }: FounderReport): peerV1.Founder {
  const common = {
    nodeId,
    incarnation,
    token,
    joinsAt: joinsAt ?? '',
    membersNow: membersNow === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(membersNow)),
    refusal: refusal ?? '',
  };
  if (founding === undefined) return common;
  const members = founding.members.map((member) => ({ ...member }));
  return { ...common, founding: { clusterId: founding.clusterId, group: CONSENSUS_GROUP, members } };
}

function fromWire(message: peerV1.Founder__Output): FounderReport {
  const { nodeId, incarnation, token, founding, joinsAt, membersNow, refusal } = message;
  const common = {
    nodeId,
    incarnation,
    token,
    ...(joinsAt === '' ? {} : { joinsAt }),
    ...(membersNow.length === 0 ? {} : { membersNow: JSON.parse(membersNow.toString()) as GroupConfiguration }),
    ...(refusal === '' ? {} : { refusal }),
  };
  if (founding === null || founding === undefined) return { ...common, founding: undefined };
  const members = founding.members.map((member) => ({ ...member }));
  return { ...common, founding: { clusterId: founding.clusterId, members } };
}
