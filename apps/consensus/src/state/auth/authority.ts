import { invariant } from '@synod/invariant';
import type { StoreReader } from '@synod/runtime';
import type { EtcdErrorName } from '../errors';
import type { KeySpace } from '../key-space';
import type { Command, LeaseId, OperationRequest, PutRequest, TxnRequest } from '../requests';
import { ROOT } from './auth-commands';
import type { AuthMeta, AuthRevision, AuthSpace } from './auth-space';
import { Grants, type Use } from './grants';

/** On whose behalf something is done. The member that a client asked vouches for it. */
export type Authority =
  /** Nobody that was named. All that there is while users are not checked. */
  | { readonly kind: 'nobody' }
  /** A member itself, or what runs inside it: lease expiry, placement, the timestamp oracle. */
  | { readonly kind: 'member' }
  /** A user, by a token that was good at an auth revision. */
  | { readonly kind: 'user'; readonly name: string; readonly revision: AuthRevision };

export const NOBODY: Authority = { kind: 'nobody' };
export const MEMBER: Authority = { kind: 'member' };

const POINT = Buffer.alloc(0);

/**
 * Who may do what. A command is judged where it is applied, against the state that it meets in the log, so that all replicas judge
 * alike and no change of permissions slips in between (etcd#14571); a read in the same turn in which the store is read.
 * Invariant `permissions-as-of-apply`.
 * Source: etcd, server/etcdserver/apply/apply_auth.go and server/auth/store.go.
 */
export class Authorities {
  /** What the store says; undefined until it was read. */
  private known: AuthMeta | undefined;
  /** By user, as of `known.revision`. */
  private readonly grants = new Map<string, Grants>();

  constructor(
    private readonly space: AuthSpace,
    private readonly keySpace: KeySpace,
  ) {}

  meta(reader: StoreReader): AuthMeta {
    return (this.known ??= this.space.meta(reader));
  }

  /** What was remembered of the store no longer holds: a change was applied, or another state took its place. */
  forget(): void {
    this.known = undefined;
    this.grants.clear();
  }

  /** Why a command may not be done, if so. */
  refuseCommand(reader: StoreReader, authority: Authority, command: Command): EtcdErrorName | undefined {
    if (!this.meta(reader).enabled || authority.kind === 'member') return undefined;
    switch (command.kind) {
      case 'put':
      case 'delete-range':
      case 'txn':
        return this.refuseOperation(reader, authority, command);
      case 'lease-revoke':
        return this.refuseNobody(reader, authority) ?? this.refuseLease(reader, authority, command.id, 'write');
      case 'lease-grant':
        return this.refuseNobody(reader, authority);
      // A step of a compaction that was allowed. No client can ask for one.
      case 'compact-step':
      // What a leader logs of itself. No client can ask for them.
      case 'lease-checkpoint':
      case 'check-state':
      // The password was checked.
      case 'authenticate':
        return undefined;
      case 'compact':
      case 'alarm':
      case 'auth-enable':
      case 'auth-disable':
      case 'user-add':
      case 'user-delete':
      case 'user-change-password':
      case 'user-grant-role':
      case 'user-revoke-role':
      case 'role-add':
      case 'role-delete':
      case 'role-grant':
      case 'role-revoke':
        return this.refuseAdministration(reader, authority);
    }
  }

  /** The same for what may stand inside a transaction; of one that branches, everything that it could do. */
  refuseOperation(reader: StoreReader, authority: Authority, request: OperationRequest): EtcdErrorName | undefined {
    switch (request.kind) {
      case 'range':
        return this.refuseUse(reader, authority, 'read', request.key, request.rangeEnd);
      case 'put':
        return this.refusePut(reader, authority, request);
      case 'delete-range': {
        const { key, rangeEnd, previous } = request;
        const refusal = this.refuseUse(reader, authority, 'write', key, rangeEnd);
        return refusal ?? (previous ? this.refuseUse(reader, authority, 'read', key, rangeEnd) : undefined);
      }
      case 'txn':
        return this.refuseTxn(reader, authority, request);
    }
  }

  /** Why a use of a range is refused, if so. */
  refuseUse(
    reader: StoreReader,
    authority: Authority,
    use: Use,
    key: Buffer,
    rangeEnd: Buffer,
  ): EtcdErrorName | undefined {
    const { enabled, revision } = this.meta(reader);
    if (!enabled || authority.kind === 'member') return undefined;
    if (authority.kind === 'nobody') return 'user-empty';
    if (authority.revision < revision) return 'auth-old-revision';
    invariant(this.space.meta(reader).revision === revision, 'permissions-as-of-apply');
    return this.grantsOf(reader, authority.name)?.allow(use, key, rangeEnd) ? undefined : 'permission-denied';
  }

  /** Why somebody may not administer, if so. A token's age is no obstacle: one may change a dozen things with it. */
  refuseAdministration(reader: StoreReader, authority: Authority): EtcdErrorName | undefined {
    if (!this.meta(reader).enabled || authority.kind === 'member') return undefined;
    if (authority.kind === 'nobody') return 'user-empty';
    return this.grantsOf(reader, authority.name)?.administrator ? undefined : 'permission-denied';
  }

  /** Why somebody must say who it is, if so. */
  refuseNobody(reader: StoreReader, authority: Authority): EtcdErrorName | undefined {
    return this.meta(reader).enabled && authority.kind === 'nobody' ? 'user-empty' : undefined;
  }

  /** Why one may not touch a lease, if so: it stands for the keys that it holds. */
  refuseLease(reader: StoreReader, authority: Authority, lease: LeaseId, use: Use): EtcdErrorName | undefined {
    return this.refuseKeys(reader, authority, use, this.keySpace.attachedKeys(reader, lease));
  }

  refuseKeys(reader: StoreReader, authority: Authority, use: Use, keys: readonly Buffer[]): EtcdErrorName | undefined {
    if (this.refuseAdministration(reader, authority) === undefined) return undefined;
    for (const key of keys) {
      const refusal = this.refuseUse(reader, authority, use, key, POINT);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  }

  /** Whether somebody has a role. */
  holds(reader: StoreReader, authority: Authority, role: string): boolean {
    return authority.kind === 'user' && this.space.user(reader, authority.name)?.roles.includes(role) === true;
  }

  private refusePut(reader: StoreReader, authority: Authority, request: PutRequest): EtcdErrorName | undefined {
    const { key, lease, previous } = request;
    return (
      this.refuseUse(reader, authority, 'write', key, POINT) ??
      // Whoever shares a lease can end it, and the other keys with it.
      (lease === 0n ? undefined : this.refuseLease(reader, authority, lease, 'write')) ??
      (previous ? this.refuseUse(reader, authority, 'read', key, POINT) : undefined)
    );
  }

  private refuseTxn(reader: StoreReader, authority: Authority, request: TxnRequest): EtcdErrorName | undefined {
    for (const { key, rangeEnd } of request.compare) {
      const refusal = this.refuseUse(reader, authority, 'read', key, rangeEnd);
      if (refusal !== undefined) return refusal;
    }
    // Both paths: which of them is taken says something about keys, and is not known to the caller before.
    for (const operation of [...request.success, ...request.failure]) {
      const refusal = this.refuseOperation(reader, authority, operation);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  }

  /** @returns undefined if there is no such user */
  private grantsOf(reader: StoreReader, name: string): Grants | undefined {
    const remembered = this.grants.get(name);
    if (remembered !== undefined) return remembered;
    const user = this.space.user(reader, name);
    if (user === undefined) return undefined;
    const permissions = user.roles.flatMap((role) => this.space.role(reader, role)?.permissions ?? []);
    const grants = new Grants(user.roles.includes(ROOT), permissions);
    this.grants.set(name, grants);
    return grants;
  }
}
