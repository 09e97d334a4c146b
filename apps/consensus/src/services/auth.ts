import type { ServiceHandlers } from '@synod/rpc';
import { EtcdError } from '../state/errors';
import { unimplemented, type ServedMember } from './member';

const NO_USERS =
  'users and roles are not offered in this release; keep the service on loopback or behind a proxy that authenticates';

export function authService(member: ServedMember): ServiceHandlers<'etcdserverpb.Auth'> {
  return {
    AuthStatus: (_, context) =>
      member.answer(context, () => ({ header: member.header(), enabled: false, authRevision: '1' })),
    Authenticate: (_, context) =>
      member.answer(context, () => {
        throw new EtcdError('auth-not-enabled');
      }),
    AuthEnable: unimplemented(NO_USERS),
    AuthDisable: unimplemented(NO_USERS),
    UserAdd: unimplemented(NO_USERS),
    UserGet: unimplemented(NO_USERS),
    UserList: unimplemented(NO_USERS),
    UserDelete: unimplemented(NO_USERS),
    UserChangePassword: unimplemented(NO_USERS),
    UserGrantRole: unimplemented(NO_USERS),
    UserRevokeRole: unimplemented(NO_USERS),
    RoleAdd: unimplemented(NO_USERS),
    RoleGet: unimplemented(NO_USERS),
    RoleList: unimplemented(NO_USERS),
    RoleDelete: unimplemented(NO_USERS),
    RoleGrantPermission: unimplemented(NO_USERS),
    RoleRevokePermission: unimplemented(NO_USERS),
  };
}
