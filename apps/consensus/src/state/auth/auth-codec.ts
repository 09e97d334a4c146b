import { SynodError } from '@synod/runtime';
import type { ByteReader, ByteWriter } from '../bytes';
import type { AuthCommand } from './auth-commands';
import { readPermission, writePermission } from './auth-space';
import { MEMBER, type Authority } from './authority';

/** How changes to users and roles lie in the log, by kind byte; see `command-codec.ts`. */
export const AUTH_KIND = {
  'auth-enable': 65,
  'auth-disable': 66,
  'user-add': 67,
  'user-delete': 68,
  'user-change-password': 69,
  'user-grant-role': 70,
  'user-revoke-role': 71,
  'role-add': 72,
  'role-delete': 73,
  'role-grant': 74,
  'role-revoke': 75,
  authenticate: 76,
} as const satisfies Record<AuthCommand['kind'], number>;

const AUTHORITY_MEMBER = 0;
const AUTHORITY_USER = 1;

const KINDS = new Map<number, AuthCommand['kind']>(
  Object.entries(AUTH_KIND).map(([kind, byte]) => [byte, kind as AuthCommand['kind']]),
);

/** Which change to users and roles a kind byte means, if one. */
export function authKindOf(byte: number): AuthCommand['kind'] | undefined {
  return KINDS.get(byte);
}

export function writeAuthCommand(fields: ByteWriter, command: AuthCommand): void {
  fields.byte(AUTH_KIND[command.kind]);
  const text = (value: string): ByteWriter => fields.blob(Buffer.from(value));
  switch (command.kind) {
    case 'auth-enable':
    case 'auth-disable':
      return;
    case 'user-add':
      text(command.user).byte(command.passwordHash === undefined ? 0 : 1);
      text(command.passwordHash ?? '');
      return;
    case 'user-delete':
      text(command.user);
      return;
    case 'user-change-password':
      text(command.user);
      text(command.passwordHash);
      return;
    case 'user-grant-role':
    case 'user-revoke-role':
      text(command.user);
      text(command.role);
      return;
    case 'role-add':
    case 'role-delete':
      text(command.role);
      return;
    case 'role-grant':
      text(command.role);
      writePermission(fields, command.permission);
      return;
    case 'role-revoke':
      text(command.role).blob(command.key).blob(command.rangeEnd);
      return;
    case 'authenticate':
      text(command.user).int64(command.revision);
      text(command.token);
      return;
  }
}

export function readAuthCommand(fields: ByteReader, kind: AuthCommand['kind']): AuthCommand {
  const text = (): string => fields.blob().toString();
  switch (kind) {
    case 'auth-enable':
    case 'auth-disable':
      return { kind };
    case 'user-add': {
      const user = text();
      const hasPassword = fields.byte() === 1;
      const hash = text();
      return { kind, user, passwordHash: hasPassword ? hash : undefined };
    }
    case 'user-delete':
      return { kind, user: text() };
    case 'user-change-password':
      return { kind, user: text(), passwordHash: text() };
    case 'user-grant-role':
    case 'user-revoke-role':
      return { kind, user: text(), role: text() };
    case 'role-add':
    case 'role-delete':
      return { kind, role: text() };
    case 'role-grant':
      return { kind, role: text(), permission: readPermission(fields) };
    case 'role-revoke':
      return { kind, role: text(), key: fields.blob(), rangeEnd: fields.blob() };
    case 'authenticate':
      return { kind, user: text(), revision: fields.int64(), token: text() };
  }
}

export function writeAuthority(fields: ByteWriter, authority: Exclude<Authority, { readonly kind: 'nobody' }>): void {
  if (authority.kind === 'member') fields.byte(AUTHORITY_MEMBER);
  else fields.byte(AUTHORITY_USER).blob(Buffer.from(authority.name)).int64(authority.revision);
}

export function readAuthority(fields: ByteReader): Authority {
  const kind = fields.byte();
  if (kind === AUTHORITY_MEMBER) return MEMBER;
  if (kind === AUTHORITY_USER) return { kind: 'user', name: fields.blob().toString(), revision: fields.int64() };
  throw new SynodError('corrupt', `a coordination command names an authority of the unknown kind ${kind}`);
}
