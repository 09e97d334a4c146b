import type { BarrierResult, ChangeResult, Group, GroupConfiguration, ProposeResult } from '@synod/replication';
import { SynodError, type StoreReader } from '@synod/runtime';
import type { LeaseKeeper } from './lease-keeper';
import type { MemberOperation } from './member-changes';
import { EtcdError } from './state/errors';
import type { LeaderRequest, LeaderResponse } from './leader-requests';
import type { ReplicaAudit } from './replica-audit';
import type { KeySpace } from './state/key-space';
import type { LeaseId } from './state/requests';
import type { ApplyResult } from './state/results';

export type Unsettled = Exclude<
  ProposeResult<unknown> | BarrierResult | ChangeResult,
  { readonly kind: 'applied' | 'ready' | 'changed' | 'conflict' }
>;

/** Does what only the leader can, for this member and for those that forward. On a member that does not lead it refuses. */
export class LeaderDesk {
  constructor(
    private readonly group: Group<ApplyResult>,
    private readonly keySpace: KeySpace,
    private readonly store: StoreReader,
    private readonly leases: LeaseKeeper,
    private readonly audit: ReplicaAudit,
    private readonly changeMembers: (operation: MemberOperation) => Promise<GroupConfiguration>,
  ) {}

  /** @throws {SynodError} `not-leader` (the hint is a node id), `overloaded`: nothing was done; `outcome-unknown` */
  async answer(request: LeaderRequest): Promise<LeaderResponse> {
    switch (request.kind) {
      case 'propose': {
        const proposed = await this.group.propose(request.command);
        if (proposed.kind !== 'applied') throw failure(proposed);
        return { kind: 'applied', result: proposed.result };
      }
      case 'barrier':
        return { kind: 'barrier', applied: await this.confirmLeadership() };
      case 'keep-alive':
        return this.keepAlive(request.lease);
      case 'time-to-live':
        return this.timeToLive(request.lease);
      case 'report-state':
        if (this.group.status().role !== 'leader') throw failure({ kind: 'not-leader', leader: undefined });
        this.audit.report(request.report);
        return { kind: 'state-reported' };
      case 'change-members':
        return this.members(request.operation);
    }
  }

  private async members(operation: MemberOperation): Promise<LeaderResponse> {
    // A refusal is final. By an old view of the members, of one that does not lead or no longer does, it would be a wrong "no".
    await this.confirmLeadership();
    try {
      return { kind: 'members-changed', configuration: await this.changeMembers(operation) };
    } catch (error) {
      if (error instanceof EtcdError) return { kind: 'members-changed', refusal: error.code };
      throw error;
    }
  }

  private async keepAlive(lease: LeaseId): Promise<LeaderResponse> {
    // A leader that was deposed without knowing must not promise a time to live that its successor does not count.
    await this.confirmLeadership();
    const { revision } = this.keySpace.meta(this.store);
    return { kind: 'kept-alive', revision, ttlSeconds: (await this.leases.renew(lease)) ?? 0n };
  }

  private async timeToLive(lease: LeaseId): Promise<LeaderResponse> {
    await this.confirmLeadership();
    const { revision } = this.keySpace.meta(this.store);
    const state = this.leases.remaining(lease);
    if (state === undefined) {
      return { kind: 'lease-state', revision, grantedSeconds: 0n, remainingSeconds: -1n, keys: [] };
    }
    return { kind: 'lease-state', revision, ...state, keys: this.keySpace.attachedKeys(this.store, lease) };
  }

  /** @returns the instance up to which everything is applied here */
  private async confirmLeadership(): Promise<number> {
    const barrier = await this.group.readBarrier();
    if (barrier.kind !== 'ready') throw failure(barrier);
    return barrier.applied;
  }
}

export function failure(result: Unsettled): SynodError {
  switch (result.kind) {
    case 'not-leader': {
      const details = result.leader === undefined ? {} : { hint: result.leader };
      return new SynodError('not-leader', 'this member does not lead the coordination service', details);
    }
    case 'overloaded':
      return new SynodError('overloaded', 'too many requests wait to be replicated');
    case 'unknown':
      return new SynodError('outcome-unknown', 'leadership was lost after the request was proposed');
  }
}
