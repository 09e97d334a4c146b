import type { Random, Store } from '@synod/runtime';
import { identityOf, type Caller } from './auth/caller';
import type { Gatekeeper } from './auth/gatekeeper';
import type { LeaderAccess } from './leader-access';
import { resultOf, type Proposals } from './proposals';
import type { ReadGate } from './read-gate';
import type { KeySpace } from './state/key-space';
import type { LeaseId, Revision } from './state/requests';

/** A lease as `timeToLive` tells it. */
export interface LeaseState {
  readonly revision: Revision;
  readonly grantedSeconds: bigint;
  /** −1 if there is no such lease. */
  readonly remainingSeconds: bigint;
  readonly keys: readonly Buffer[];
}

/** What leases need of the member that they are asked of. */
export interface LeaseParts {
  readonly ports: { readonly random: Random };
  readonly store: Store;
  readonly keySpace: KeySpace;
  readonly access: LeaderAccess;
  readonly gate: ReadGate;
  readonly gatekeeper: Gatekeeper;
  readonly proposals: Proposals;
  readonly electionTimeoutUs: number;
}

/** Leases as clients ask for them, of any member. Every method throws `EtcdError`. */
export class Leases {
  private readonly ttlMinSeconds: bigint;

  constructor(private readonly parts: LeaseParts) {
    this.ttlMinSeconds = ttlMinSeconds(parts.electionTimeoutUs);
  }

  /** @param id 0n for one of the server's choice */
  async grant(
    id: LeaseId,
    ttlSeconds: bigint,
    caller: Caller = 'client',
  ): Promise<{ readonly revision: Revision; readonly id: LeaseId; readonly ttlSeconds: bigint }> {
    const { proposals } = this.parts;
    if (identityOf(caller) === 'client') proposals.admit(0);
    // Raised before it is proposed, so that members with other settings apply the same.
    const raised = ttlSeconds < this.ttlMinSeconds ? this.ttlMinSeconds : ttlSeconds;
    for (;;) {
      const chosen = id === 0n ? this.drawId() : id;
      const result = await proposals.propose({ kind: 'lease-grant', id: chosen, ttlSeconds: raised }, caller);
      if (id === 0n && result.kind === 'refused' && result.error === 'lease-exists') continue;
      return resultOf('lease-granted', result);
    }
  }

  async revoke(id: LeaseId, caller: Caller = 'client'): Promise<Revision> {
    return resultOf('lease-revoked', await this.parts.proposals.propose({ kind: 'lease-revoke', id }, caller)).revision;
  }

  /** `revision` is from before the renewal; `ttlSeconds` is 0 if there is no such lease. */
  async keepAlive(
    lease: LeaseId,
    caller: Caller = 'client',
  ): Promise<{ readonly revision: Revision; readonly ttlSeconds: bigint }> {
    const { gatekeeper, gate, access } = this.parts;
    if (gatekeeper.enabled) {
      // The lease and its keys may be known to the leader only, as yet.
      await gate.pass();
      await gatekeeper.demand(
        caller,
        (authorities, store, authority) =>
          authorities.refuseNobody(store, authority) ?? authorities.refuseLease(store, authority, lease, 'write'),
      );
    }
    return access.ask({ kind: 'keep-alive', lease });
  }

  /** @param withKeys whether the keys are to be shown: then the caller must be allowed to see them */
  async timeToLive(lease: LeaseId, withKeys = true, caller: Caller = 'client'): Promise<LeaseState> {
    const state = await this.parts.access.ask({ kind: 'time-to-live', lease });
    await this.parts.gatekeeper.demand(
      caller,
      (authorities, store, authority) =>
        authorities.refuseNobody(store, authority) ??
        (withKeys ? authorities.refuseKeys(store, authority, 'read', state.keys) : undefined),
    );
    return state;
  }

  /** Shown whole or not at all: that a lease holds no key says something too. */
  async list(caller: Caller = 'client'): Promise<LeaseId[]> {
    const { keySpace, store, gate, gatekeeper } = this.parts;
    await gate.pass();
    const list = (): LeaseId[] => [...keySpace.leases(store)].map(({ id }) => id);
    await gatekeeper.demand(caller, (authorities, store, authority) => {
      if (authorities.refuseAdministration(store, authority) === undefined) return undefined;
      const refusals = list().map((id) => authorities.refuseLease(store, authority, id, 'read'));
      return authorities.refuseNobody(store, authority) ?? refusals.find((refusal) => refusal !== undefined);
    });
    return list();
  }

  /** A positive number of 63 bits, as etcd's clients expect. */
  private drawId(): LeaseId {
    return (this.parts.ports.random.bytes(8).readBigUInt64BE() >> 1n) | 1n;
  }
}

/** A shorter lease could expire while a new leader is being found: as with etcd, one and a half election time-outs, rounded up. */
function ttlMinSeconds(electionTimeoutUs: number): bigint {
  return BigInt(Math.ceil((1.5 * electionTimeoutUs) / 1_000_000));
}
