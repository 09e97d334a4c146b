import { StateBench } from '../../testing/state-bench';
import type { AuthCommand } from './auth-commands';
import type { Permission } from './auth-space';
import { MEMBER, NOBODY } from './authority';

const permission = (key: string, rangeEnd = '', access: Permission['access'] = 'readwrite'): Permission => ({
  access,
  key: Buffer.from(key),
  rangeEnd: Buffer.from(rangeEnd),
});

class Bench extends StateBench {
  /** @returns what each command came to */
  do(...commands: AuthCommand[]): string[] {
    return commands.map((command) => {
      const result = this.apply(command, this.meta.enabled ? MEMBER : NOBODY);
      return result.kind === 'refused' ? result.error : 'done';
    });
  }

  get meta(): { readonly enabled: boolean; readonly revision: bigint } {
    return this.machine.authSpace.meta(this.store);
  }

  rolesOf(user: string): readonly string[] | undefined {
    return this.machine.authSpace.user(this.store, user)?.roles;
  }

  permissionsOf(role: string): string[] | undefined {
    const found = this.machine.authSpace.role(this.store, role);
    return found?.permissions.map(
      ({ access, key, rangeEnd }) => `${access} ${key.toString()}..${rangeEnd.toString('latin1')}`,
    );
  }
}

/** Users root and ann; roles root and reader, the latter ann's. */
function populated(): Bench {
  const bench = new Bench();
  bench.do(
    { kind: 'user-add', user: 'root', passwordHash: 'h' },
    { kind: 'role-add', role: 'root' },
    { kind: 'user-grant-role', user: 'root', role: 'root' },
    { kind: 'user-add', user: 'ann', passwordHash: 'h' },
    { kind: 'role-add', role: 'reader' },
    { kind: 'user-grant-role', user: 'ann', role: 'reader' },
  );
  return bench;
}

// etcd, server/auth/store.go.
it('refuses what makes no sense, with the name that etcd has for it', () => {
  const bench = populated();
  expect(
    bench.do(
      { kind: 'user-add', user: '', passwordHash: 'h' },
      { kind: 'user-add', user: 'ann', passwordHash: 'h' },
      { kind: 'user-delete', user: 'bob' },
      { kind: 'user-change-password', user: 'bob', passwordHash: 'h' },
      { kind: 'user-grant-role', user: 'bob', role: 'reader' },
      { kind: 'user-grant-role', user: 'ann', role: 'writer' },
      { kind: 'user-revoke-role', user: 'bob', role: 'reader' },
      { kind: 'user-revoke-role', user: 'ann', role: 'writer' },
      { kind: 'role-add', role: '' },
      { kind: 'role-add', role: 'reader' },
      { kind: 'role-delete', role: 'writer' },
      { kind: 'role-grant', role: 'writer', permission: permission('a') },
      { kind: 'role-grant', role: 'reader', permission: permission('') },
      { kind: 'role-grant', role: 'reader', permission: permission('b', 'a') },
      { kind: 'role-revoke', role: 'writer', key: Buffer.from('a'), rangeEnd: Buffer.alloc(0) },
      { kind: 'role-revoke', role: 'reader', key: Buffer.from('a'), rangeEnd: Buffer.alloc(0) },
      { kind: 'authenticate', user: 'ann', revision: bench.meta.revision, token: 't' },
    ),
  ).toEqual([
    'user-empty',
    'user-exists',
    'user-not-found',
    'user-not-found',
    'user-not-found',
    'role-not-found',
    'user-not-found',
    'role-not-granted',
    'role-empty',
    'role-exists',
    'role-not-found',
    'role-not-found',
    'invalid-auth-management',
    'invalid-auth-management',
    'role-not-found',
    'permission-not-granted',
    'auth-not-enabled',
  ]);
  expect(bench.meta.revision).toBe(7n);
});

it('needs a root user with the root role before it checks users, and keeps both while it does', () => {
  const bench = new Bench();
  expect(bench.do({ kind: 'auth-enable' })).toEqual(['root-user-missing']);
  bench.do({ kind: 'user-add', user: 'root', passwordHash: 'h' });
  expect(bench.do({ kind: 'auth-enable' })).toEqual(['root-role-missing']);
  bench.do({ kind: 'role-add', role: 'root' }, { kind: 'user-grant-role', user: 'root', role: 'root' });
  expect(bench.do({ kind: 'auth-enable' }, { kind: 'auth-enable' })).toEqual(['done', 'done']);
  const unrooting: AuthCommand[] = [
    { kind: 'user-revoke-role', user: 'root', role: 'root' },
    { kind: 'role-delete', role: 'root' },
    { kind: 'user-delete', user: 'root' },
  ];
  expect(bench.do(...unrooting)).toEqual(Array(3).fill('invalid-auth-management'));
  expect(bench.do({ kind: 'auth-disable' }, { kind: 'auth-disable' }, ...unrooting)).toEqual(Array(5).fill('done'));
});

it('counts each change that could matter to a permission, and nothing else', () => {
  const bench = populated();
  const before = bench.meta.revision;
  bench.do({ kind: 'user-grant-role', user: 'ann', role: 'reader' }, { kind: 'auth-enable' });
  expect(bench.meta.revision).toBe(before);
  bench.do({ kind: 'role-grant', role: 'reader', permission: permission('a') }, { kind: 'auth-disable' });
  expect(bench.meta.revision).toBe(before + 2n);
});

it('takes a deleted role from its users, so that a new one of that name is nobody’s', () => {
  const bench = populated();
  bench.do({ kind: 'role-delete', role: 'reader' }, { kind: 'role-add', role: 'reader' });
  expect(bench.rolesOf('ann')).toEqual([]);
});

it('keeps permissions by key, one for each range', () => {
  const bench = populated();
  bench.do(
    { kind: 'role-grant', role: 'reader', permission: permission('b', 'c') },
    { kind: 'role-grant', role: 'reader', permission: permission('b') },
    { kind: 'role-grant', role: 'reader', permission: permission('a', '\0', 'read') },
    { kind: 'role-grant', role: 'reader', permission: permission('b', 'c', 'write') },
  );
  expect(bench.permissionsOf('reader')?.sort()).toEqual(['read a..\0', 'readwrite b..', 'write b..c']);
  bench.do({ kind: 'role-revoke', role: 'reader', key: Buffer.from('b'), rangeEnd: Buffer.from('c') });
  expect(bench.permissionsOf('reader')).toEqual(['read a..\0', 'readwrite b..']);
});

it('hands out a token only as of the revision at which the password was checked', () => {
  const bench = populated();
  bench.do({ kind: 'auth-enable' });
  const { revision } = bench.meta;
  bench.do({ kind: 'user-change-password', user: 'ann', passwordHash: 'other' });
  expect(
    bench.do(
      { kind: 'authenticate', user: 'ann', revision, token: 'early' },
      { kind: 'authenticate', user: 'ann', revision: revision + 1n, token: 'late' },
      { kind: 'user-delete', user: 'ann' },
      { kind: 'auth-disable' },
    ),
  ).toEqual(['auth-old-revision', 'done', 'done', 'done']);
  expect(bench.tokens).toEqual([
    { kind: 'revoked', user: 'ann' },
    { kind: 'issued', user: 'ann', token: 'late' },
    { kind: 'revoked', user: 'ann' },
    { kind: 'all-revoked' },
  ]);
});

it('gives no password to a user that was made without', () => {
  const bench = populated();
  bench.do(
    { kind: 'user-add', user: 'cert', passwordHash: undefined },
    { kind: 'user-change-password', user: 'cert', passwordHash: 'h' },
  );
  expect(bench.machine.authSpace.user(bench.store, 'cert')?.passwordHash).toBeUndefined();
});

it('keeps all of it out of the keys that clients see', () => {
  expect(populated().list('')).toEqual([]);
});
