import { wireInt64, type etcdserverpb } from '@synod/contracts';
import { StatusError, status, type CallContext } from '@synod/rpc';
import { SynodError } from '@synod/runtime';
import type { GroupMember } from '@synod/replication';
import type { CoordinationHost } from '../coordination-host';
import { clusterNumber, memberNumber } from '../member-ids';
import type { ConsensusNode } from '../node';
import { EtcdError } from '../state/errors';
import type { Revision } from '../state/requests';
import type { MakeHeader } from './encode';

/** The member behind the services, and what all of them say and ask alike. */
export class ServedMember {
  readonly clusterNumber: bigint;
  readonly number: bigint;
  private readonly replicaId: GroupMember['replicaId'];
  /** Both, as every header shows them. */
  private readonly signature: Readonly<Record<'clusterId' | 'memberId', ReturnType<typeof wireInt64>>>;

  constructor(readonly node: ConsensusNode) {
    const { clusterId } = node.founding;
    this.clusterNumber = clusterNumber(clusterId);
    this.replicaId = node.host.group.status().replicaId;
    this.number = memberNumber(clusterId, this.replicaId);
    this.signature = { clusterId: wireInt64(this.clusterNumber), memberId: wireInt64(this.number) };
  }

  get host(): CoordinationHost {
    return this.node.host;
  }

  /** It catches up and does not vote yet. */
  get learns(): boolean {
    return this.node.members.some((each) => each.learner && each.replicaId === this.replicaId);
  }

  numberOf({ replicaId }: Pick<GroupMember, 'replicaId'>): bigint {
    return memberNumber(this.node.founding.clusterId, replicaId);
  }

  /** The member that clients know by a number. */
  find(number: string): GroupMember | undefined {
    return this.node.members.find((each) => this.numberOf(each) === BigInt(number));
  }

  /** Of every response: who answers, and at which revision of the store; by default the present one here. */
  readonly header = (revision: Revision = this.host.revision): etcdserverpb.ResponseHeader =>
    this.headersOfThisTurn()(revision);

  /** The same for many responses at once: what they have in common is looked at once. */
  headersOfThisTurn(): MakeHeader {
    const { clusterId, memberId } = this.signature;
    const raftTerm = this.host.group.status().promised.round;
    return (revision) => ({ clusterId, memberId, revision: wireInt64(revision), raftTerm });
  }

  /** Runs a call; what it refuses is answered with etcd's status and text. */
  answer<T>(context: CallContext, work: () => Promise<T> | T): Promise<T>;
  /** The same, for calls that are many: one promise less than if `work` did both. */
  answer<R, T>(context: CallContext, work: () => Promise<R> | R, encode: (result: R) => T): Promise<T>;
  async answer<R>(context: CallContext, work: () => Promise<R> | R, encode?: (result: R) => unknown): Promise<unknown> {
    try {
      if (wantsLeader(context) && !this.host.hasLeader) throw new EtcdError('no-leader');
      const result = await work();
      return encode === undefined ? result : encode(result);
    } catch (error) {
      throw asStatus(error);
    }
  }
}

/** Clients that must not talk to a member cut off from the others say so. */
export function wantsLeader(context: CallContext): boolean {
  return context.metadata('hasleader') === 'true';
}

export function asStatus(error: unknown): unknown {
  return error instanceof EtcdError ? new StatusError(status[error.status], error.message) : error;
}

/** A status as etcd writes it where there is no room for one but in a text. */
export function statusText(error: EtcdError): string {
  const [first = '', ...words] = error.status.split('_');
  const code = [first, ...words].map((word) => `${word.slice(0, 1)}${word.slice(1).toLowerCase()}`).join('');
  return `rpc error: code = ${code} desc = ${error.message}`;
}

/** For methods of the contract that this release does not have. */
export function unimplemented(what: string): () => never {
  return () => {
    throw new SynodError('unimplemented', what);
  };
}
