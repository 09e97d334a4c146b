import { invariant } from '@synod/invariant';
import type { StoreTransaction } from '@synod/runtime';
import { EtcdError, type EtcdErrorName } from '../errors';
import { KEY_BYTES_MAX } from '../key-space';
import { spanOf } from '../span';
import type { AuthMeta, AuthRevision, AuthSpace, Permission, Role, User } from './auth-space';

/** Users with this role may do anything; the user of this name keeps it while users are checked. */
export const ROOT = 'root';

/** Changes to users and roles, as they go through the log. Passwords were hashed before: a hash takes long, and is never twice the same. */
export type AuthCommand =
  | { readonly kind: 'auth-enable' }
  | { readonly kind: 'auth-disable' }
  | { readonly kind: 'user-add'; readonly user: string; readonly passwordHash: string | undefined }
  | { readonly kind: 'user-delete'; readonly user: string }
  | { readonly kind: 'user-change-password'; readonly user: string; readonly passwordHash: string }
  | { readonly kind: 'user-grant-role'; readonly user: string; readonly role: string }
  | { readonly kind: 'user-revoke-role'; readonly user: string; readonly role: string }
  | { readonly kind: 'role-add'; readonly role: string }
  | { readonly kind: 'role-delete'; readonly role: string }
  | { readonly kind: 'role-grant'; readonly role: string; readonly permission: Permission }
  | { readonly kind: 'role-revoke'; readonly role: string; readonly key: Buffer; readonly rangeEnd: Buffer }
  /** A member has checked a password, at `revision`, and hands out `token`. */
  | { readonly kind: 'authenticate'; readonly user: string; readonly revision: AuthRevision; readonly token: string };

/** What the keepers of tokens on every member have to know, in log order. */
export type TokenEvent =
  | { readonly kind: 'issued'; readonly user: string; readonly token: string }
  /** The user is gone or has another password. */
  | { readonly kind: 'revoked'; readonly user: string }
  | { readonly kind: 'all-revoked' };

/** What a command came to. `meta` is absent if it left the auth revision and the switch as they were. */
export type AuthOutcome =
  | { readonly kind: 'done'; readonly meta?: AuthMeta; readonly tokens?: TokenEvent }
  | { readonly kind: 'refused'; readonly error: EtcdErrorName };

/**
 * Refuses what is wrong whatever the state: done before a change is proposed.
 * @throws {EtcdError}
 */
export function checkAuthCommand(command: AuthCommand): void {
  const { user, role, permission } = command as { user?: string; role?: string; permission?: Permission };
  const parts = [user, role, permission?.key, permission?.rangeEnd];
  if (parts.some((part) => part !== undefined && Buffer.byteLength(part) > KEY_BYTES_MAX)) {
    throw new EtcdError('request-too-large');
  }
}

const UNCHANGED: AuthOutcome = { kind: 'done' };

/**
 * Carries out a change to users and roles; who may ask for it was decided before.
 * Source: etcd, server/auth/store.go, whose refusals and their order are kept.
 */
export function applyAuth(space: AuthSpace, transaction: StoreTransaction, command: AuthCommand): AuthOutcome {
  const store = new Administration(space, transaction);
  switch (command.kind) {
    case 'auth-enable':
      return store.enable();
    case 'auth-disable':
      return store.disable();
    case 'user-add':
      return store.addUser(command.user, command.passwordHash);
    case 'user-delete':
      return store.deleteUser(command.user);
    case 'user-change-password':
      return store.changePassword(command.user, command.passwordHash);
    case 'user-grant-role':
      return store.grantRole(command.user, command.role);
    case 'user-revoke-role':
      return store.revokeRole(command.user, command.role);
    case 'role-add':
      return store.addRole(command.role);
    case 'role-delete':
      return store.deleteRole(command.role);
    case 'role-grant':
      return store.grantPermission(command.role, command.permission);
    case 'role-revoke':
      return store.revokePermission(command.role, command.key, command.rangeEnd);
    case 'authenticate':
      return store.authenticate(command.user, command.revision, command.token);
  }
}

class Administration {
  private readonly meta: AuthMeta;

  constructor(
    private readonly space: AuthSpace,
    private readonly transaction: StoreTransaction,
  ) {
    this.meta = space.meta(transaction);
  }

  enable(): AuthOutcome {
    if (this.meta.enabled) return UNCHANGED;
    const root = this.user(ROOT);
    if (root === undefined) return refused('root-user-missing');
    if (!root.roles.includes(ROOT)) return refused('root-role-missing');
    return this.settle({ ...this.meta, enabled: true });
  }

  disable(): AuthOutcome {
    if (!this.meta.enabled) return UNCHANGED;
    return this.changed({ enabled: false, tokens: { kind: 'all-revoked' } });
  }

  addUser(name: string, passwordHash: string | undefined): AuthOutcome {
    if (name === '') return refused('user-empty');
    if (this.user(name) !== undefined) return refused('user-exists');
    this.space.putUser(this.transaction, { name, passwordHash, roles: [] });
    return this.changed();
  }

  deleteUser(name: string): AuthOutcome {
    if (this.meta.enabled && name === ROOT) return refused('invalid-auth-management');
    if (this.user(name) === undefined) return refused('user-not-found');
    this.space.removeUser(this.transaction, name);
    return this.changed({ tokens: { kind: 'revoked', user: name } });
  }

  changePassword(name: string, passwordHash: string): AuthOutcome {
    const user = this.user(name);
    if (user === undefined) return refused('user-not-found');
    // Who has no password gets none this way either: it is said when a user is added.
    if (user.passwordHash !== undefined) this.space.putUser(this.transaction, { ...user, passwordHash });
    return this.changed({ tokens: { kind: 'revoked', user: name } });
  }

  grantRole(name: string, role: string): AuthOutcome {
    const user = this.user(name);
    if (user === undefined) return refused('user-not-found');
    // The root role means something whether or not it was added.
    if (role !== ROOT && this.role(role) === undefined) return refused('role-not-found');
    if (user.roles.includes(role)) return UNCHANGED;
    this.space.putUser(this.transaction, { ...user, roles: [...user.roles, role].sort(byBytes) });
    return this.changed();
  }

  revokeRole(name: string, role: string): AuthOutcome {
    if (this.meta.enabled && name === ROOT && role === ROOT) return refused('invalid-auth-management');
    const user = this.user(name);
    if (user === undefined) return refused('user-not-found');
    if (!user.roles.includes(role)) return refused('role-not-granted');
    this.space.putUser(this.transaction, without(user, role));
    return this.changed();
  }

  addRole(name: string): AuthOutcome {
    if (name === '') return refused('role-empty');
    if (this.role(name) !== undefined) return refused('role-exists');
    this.space.putRole(this.transaction, { name, permissions: [] });
    return this.changed();
  }

  deleteRole(name: string): AuthOutcome {
    if (this.meta.enabled && name === ROOT) return refused('invalid-auth-management');
    if (this.role(name) === undefined) return refused('role-not-found');
    this.space.removeRole(this.transaction, name);
    // A role of this name that is added later is another one: nobody holds it yet.
    for (const user of this.space.users(this.transaction)) {
      if (user.roles.includes(name)) this.space.putUser(this.transaction, without(user, name));
    }
    return this.changed();
  }

  grantPermission(name: string, permission: Permission): AuthOutcome {
    if (!isRange(permission)) return refused('invalid-auth-management');
    const role = this.role(name);
    if (role === undefined) return refused('role-not-found');
    const { key, rangeEnd } = permission;
    const others = role.permissions.filter((each) => !sameRange(each, key, rangeEnd));
    const permissions = [...others, permission].sort((a, b) => Buffer.compare(a.key, b.key));
    this.space.putRole(this.transaction, { name, permissions });
    return this.changed();
  }

  revokePermission(name: string, key: Buffer, rangeEnd: Buffer): AuthOutcome {
    const role = this.role(name);
    if (role === undefined) return refused('role-not-found');
    const permissions = role.permissions.filter((each) => !sameRange(each, key, rangeEnd));
    if (permissions.length === role.permissions.length) return refused('permission-not-granted');
    this.space.putRole(this.transaction, { name, permissions });
    return this.changed();
  }

  /** Whatever changed since the password was checked may have been the password: then it has to be checked again. */
  authenticate(name: string, checkedAt: AuthRevision, token: string): AuthOutcome {
    if (!this.meta.enabled) return refused('auth-not-enabled');
    if (checkedAt !== this.meta.revision) return refused('auth-old-revision');
    return { kind: 'done', tokens: { kind: 'issued', user: name, token } };
  }

  private user(name: string): User | undefined {
    return this.space.user(this.transaction, name);
  }

  private role(name: string): Role | undefined {
    return this.space.role(this.transaction, name);
  }

  /** Invariant `auth-revision-counts-changes`: permissions are the same as long as it is. */
  private changed(change: { readonly enabled?: boolean; readonly tokens?: TokenEvent } = {}): AuthOutcome {
    const { enabled = this.meta.enabled, tokens } = change;
    return this.settle({ enabled, revision: this.meta.revision + 1n }, tokens);
  }

  private settle(meta: AuthMeta, tokens?: TokenEvent): AuthOutcome {
    invariant(meta.revision >= this.meta.revision, 'auth-revision-counts-changes');
    this.space.setMeta(this.transaction, meta);
    return tokens === undefined ? { kind: 'done', meta } : { kind: 'done', meta, tokens };
  }
}

function refused(error: EtcdErrorName): AuthOutcome {
  return { kind: 'refused', error };
}

function without(user: User, role: string): User {
  return { ...user, roles: user.roles.filter((each) => each !== role) };
}

function sameRange(permission: Permission, key: Buffer, rangeEnd: Buffer): boolean {
  return permission.key.equals(key) && permission.rangeEnd.equals(rangeEnd);
}

/** A permission has to be for something: a key, or a range that is not empty. */
function isRange({ key, rangeEnd }: Permission): boolean {
  const { end } = spanOf(key, rangeEnd);
  return key.length > 0 && (end === undefined || Buffer.compare(key, end) < 0);
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
