import { prefixEnd, type StoreReader, type StoreTransaction } from '@synod/runtime';
import { ByteReader, ByteWriter } from '../bytes';

/** Counts the changes to users, roles and permissions. A new store is at 1. */
export type AuthRevision = bigint;

export type Access = 'read' | 'write' | 'readwrite';

/** What a role may do with the keys from `key` to `rangeEnd`; see `spanOf` for its three forms. */
export interface Permission {
  readonly access: Access;
  readonly key: Buffer;
  readonly rangeEnd: Buffer;
}

export interface Role {
  readonly name: string;
  /** In order of their keys. */
  readonly permissions: readonly Permission[];
}

export interface User {
  readonly name: string;
  /** As `passwords.ts` made it; undefined for a user that no password opens. */
  readonly passwordHash: string | undefined;
  /** In order. */
  readonly roles: readonly string[];
}

export interface AuthMeta {
  readonly enabled: boolean;
  readonly revision: AuthRevision;
}

const NEW_STORE: AuthMeta = { enabled: false, revision: 1n };
const AUTH = Buffer.from('u');
const META = Buffer.from('m');
const ROLE = Buffer.from('r');
const USER = Buffer.from('u');
// The wire numbers of accesses: the position in this list.
const ACCESSES: readonly Access[] = ['read', 'write', 'readwrite'];

/**
 * How users and roles lie in the ordered store of a node, beside the keys of clients and out of their reach. Below the group's prefix:
 *
 * | key | value |
 * | --- | --- |
 * | `u` `m` | `AuthMeta` |
 * | `u` `r` name | `Role` |
 * | `u` `u` name | `User` |
 */
export class AuthSpace {
  private readonly prefix: Buffer;

  constructor(groupPrefix: Buffer) {
    this.prefix = Buffer.concat([groupPrefix, AUTH]);
  }

  meta(reader: StoreReader): AuthMeta {
    const bytes = reader.get(this.at(META));
    if (bytes === undefined) return NEW_STORE;
    const fields = new ByteReader(bytes);
    return { enabled: fields.byte() === 1, revision: fields.int64() };
  }

  setMeta(transaction: StoreTransaction, { enabled, revision }: AuthMeta): void {
    transaction.put(
      this.at(META),
      new ByteWriter()
        .byte(enabled ? 1 : 0)
        .int64(revision)
        .finish(),
    );
  }

  user(reader: StoreReader, name: string): User | undefined {
    const bytes = reader.get(this.at(USER, Buffer.from(name)));
    return bytes === undefined ? undefined : decodeUser(name, bytes);
  }

  /** In order of their names' bytes. */
  users(reader: StoreReader): User[] {
    return this.named(reader, USER, decodeUser);
  }

  putUser(transaction: StoreTransaction, user: User): void {
    const fields = new ByteWriter().varint(user.passwordHash === undefined ? 0 : 1);
    fields.blob(Buffer.from(user.passwordHash ?? '')).varint(user.roles.length);
    for (const role of user.roles) fields.blob(Buffer.from(role));
    transaction.put(this.at(USER, Buffer.from(user.name)), fields.finish());
  }

  removeUser(transaction: StoreTransaction, name: string): void {
    transaction.remove(this.at(USER, Buffer.from(name)));
  }

  role(reader: StoreReader, name: string): Role | undefined {
    const bytes = reader.get(this.at(ROLE, Buffer.from(name)));
    return bytes === undefined ? undefined : decodeRole(name, bytes);
  }

  /** In order of their names' bytes. */
  roles(reader: StoreReader): Role[] {
    return this.named(reader, ROLE, decodeRole);
  }

  putRole(transaction: StoreTransaction, { name, permissions }: Role): void {
    const fields = new ByteWriter().varint(permissions.length);
    for (const permission of permissions) writePermission(fields, permission);
    transaction.put(this.at(ROLE, Buffer.from(name)), fields.finish());
  }

  removeRole(transaction: StoreTransaction, name: string): void {
    transaction.remove(this.at(ROLE, Buffer.from(name)));
  }

  private named<T>(reader: StoreReader, kind: Buffer, decode: (name: string, bytes: Buffer) => T): T[] {
    const start = this.at(kind);
    const end = prefixEnd(start) ?? start;
    return [...reader.range({ start, end })].map(({ key, value }) => decode(key.toString('utf8', start.length), value));
  }

  private at(...parts: Buffer[]): Buffer {
    return Buffer.concat([this.prefix, ...parts]);
  }
}

export function writePermission(fields: ByteWriter, { access, key, rangeEnd }: Permission): void {
  fields.byte(ACCESSES.indexOf(access)).blob(key).blob(rangeEnd);
}

export function readPermission(fields: ByteReader): Permission {
  const access = ACCESSES[fields.byte()] ?? 'read';
  return { access, key: fields.blob(), rangeEnd: fields.blob() };
}

function decodeUser(name: string, bytes: Buffer): User {
  const fields = new ByteReader(bytes);
  const hasPassword = fields.varint() === 1;
  const hash = fields.blob().toString();
  const roles = Array.from({ length: fields.varint() }, () => fields.blob().toString());
  return { name, passwordHash: hasPassword ? hash : undefined, roles };
}

function decodeRole(name: string, bytes: Buffer): Role {
  const fields = new ByteReader(bytes);
  return { name, permissions: Array.from({ length: fields.varint() }, () => readPermission(fields)) };
}
