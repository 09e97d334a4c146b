import type { etcdserverpb } from '@synod/contracts';
import type { CallContext, ServiceHandlers } from '@synod/rpc';
import { SynodError } from '@synod/runtime';
import { Authenticator } from '../auth/authenticator';
import type { Question } from '../auth/gatekeeper';
import { Passwords } from '../auth/passwords';
import { ROOT, type AuthCommand } from '../state/auth/auth-commands';
import type { Access, Permission } from '../state/auth/auth-space';
import { EtcdError } from '../state/errors';
import { callerOf } from './caller-of';
import type { ServedMember } from './member';

const ACCESSES: Readonly<Record<string, Access>> = { READ: 'read', WRITE: 'write', READWRITE: 'readwrite' };
const PERMISSION_TYPES = { read: 'READ', write: 'WRITE', readwrite: 'READWRITE' } as const;
/** What the root role shows: it needs no permissions. */
const EVERYTHING: Permission = { access: 'readwrite', key: Buffer.alloc(0), rangeEnd: Buffer.from([0]) };

type Permissions = NonNullable<etcdserverpb.AuthRoleGrantPermissionRequest__Output['perm']>;

/** Users, roles and what they may do. */
export function authService(member: ServedMember): ServiceHandlers<'etcdserverpb.Auth'> {
  const { header, host } = member;
  const passwords = new Passwords();
  const authenticator = new Authenticator(host, passwords);
  const administer = (context: CallContext, command: () => AuthCommand | Promise<AuthCommand>) =>
    member.answer(context, async () => ({
      header: header(await host.administer(await command(), callerOf(context))),
    }));
  /** Who may not change a password must not make us hash one either. */
  const hashFor = async (context: CallContext, password: string): Promise<string> => {
    if (host.gatekeeper.enabled) await host.directory(() => undefined, callerOf(context), ADMINISTRATOR);
    return passwords.hash(password);
  };
  return {
    AuthEnable: (_, context) => administer(context, () => ({ kind: 'auth-enable' })),
    AuthDisable: (_, context) => administer(context, () => ({ kind: 'auth-disable' })),
    AuthStatus: (_, context) =>
      member.answer(context, async () => {
        const { enabled, revision } = await host.directory((space, store) => space.meta(store), 'service');
        return { header: header(), enabled, authRevision: revision.toString() };
      }),
    Authenticate: ({ name, password }, context) =>
      member.answer(context, async () => {
        const token = await authenticator.authenticate(name, password);
        return { header: header(), token };
      }),
    UserAdd: ({ name: user, password, options }, context) =>
      administer(context, async () => {
        const passwordHash = options?.noPassword === true ? undefined : await hashFor(context, password);
        return { kind: 'user-add', user, passwordHash };
      }),
    UserGet: ({ name }, context) =>
      member.answer(context, async () => {
        const user = await host.directory((space, store) => space.user(store, name), callerOf(context), unless(name));
        if (user === undefined) throw new EtcdError('user-not-found');
        return { header: header(), roles: [...user.roles] };
      }),
    UserList: (_, context) =>
      member.answer(context, async () => {
        const users = await host.directory((space, store) => space.users(store), callerOf(context), ADMINISTRATOR);
        return { header: header(), users: users.map(({ name }) => name) };
      }),
    UserDelete: ({ name: user }, context) => administer(context, () => ({ kind: 'user-delete', user })),
    UserChangePassword: ({ name: user, password }, context) =>
      administer(context, async () => ({
        kind: 'user-change-password',
        user,
        passwordHash: await hashFor(context, password),
      })),
    UserGrantRole: ({ user, role }, context) => administer(context, () => ({ kind: 'user-grant-role', user, role })),
    UserRevokeRole: ({ name: user, role }, context) =>
      administer(context, () => ({ kind: 'user-revoke-role', user, role })),
    RoleAdd: ({ name: role }, context) => administer(context, () => ({ kind: 'role-add', role })),
    RoleGet: ({ role: name }, context) =>
      member.answer(context, async () => {
        const role = await host.directory(
          (space, store) => space.role(store, name),
          callerOf(context),
          unlessHeld(name),
        );
        if (role === undefined) throw new EtcdError('role-not-found');
        const permissions = name === ROOT ? [EVERYTHING] : role.permissions;
        return { header: header(), perm: permissions.map(encodePermission) };
      }),
    RoleList: (_, context) =>
      member.answer(context, async () => {
        const roles = await host.directory((space, store) => space.roles(store), callerOf(context), ADMINISTRATOR);
        return { header: header(), roles: roles.map(({ name }) => name) };
      }),
    RoleDelete: ({ role }, context) => administer(context, () => ({ kind: 'role-delete', role })),
    RoleGrantPermission: ({ name: role, perm }, context) =>
      administer(context, () => ({ kind: 'role-grant', role, permission: decodePermission(perm) })),
    RoleRevokePermission: ({ role, key, rangeEnd }, context) =>
      administer(context, () => ({ kind: 'role-revoke', role, key, rangeEnd })),
  };
}

const ADMINISTRATOR: Question = (authorities, store, authority) => authorities.refuseAdministration(store, authority);

/** Everyone may look at itself. */
function unless(user: string): Question {
  return (authorities, store, authority) =>
    authority.kind === 'user' && authority.name === user ? undefined : ADMINISTRATOR(authorities, store, authority);
}

/** Everyone may look at its own roles. */
function unlessHeld(role: string): Question {
  return (authorities, store, authority) =>
    authorities.holds(store, authority, role) ? undefined : ADMINISTRATOR(authorities, store, authority);
}

function decodePermission(perm: Permissions | null): Permission {
  if (perm === null) throw new EtcdError('permission-not-given');
  const access = ACCESSES[perm.permType];
  if (access === undefined) {
    throw new SynodError('invalid-argument', 'a permission is of a type that this release does not know');
  }
  return { access, key: perm.key, rangeEnd: perm.rangeEnd };
}

function encodePermission({ access, key, rangeEnd }: Permission): Permissions {
  return { permType: PERMISSION_TYPES[access], key, rangeEnd };
}
