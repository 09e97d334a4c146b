import { SynodError } from '@synod/runtime';
import type { CoordinationHost } from '../coordination-host';
import { EtcdError } from '../state/errors';
import type { Passwords } from './passwords';

/** Trades passwords for tokens. (etcd: EtcdServer.Authenticate.) */
export class Authenticator {
  constructor(
    private readonly host: CoordinationHost,
    private readonly passwords: Passwords,
  ) {}

  /**
   * @returns a token that any member will know again
   * @throws {EtcdError} `auth-failed` whether the user or the password is wrong; `auth-not-enabled`
   */
  async authenticate(name: string, password: string): Promise<string> {
    const { tokens } = this.host.gatekeeper;
    for (;;) {
      const { enabled, revision, user } = await this.host.directory(
        (space, store) => ({ ...space.meta(store), user: space.user(store, name) }),
        'service',
      );
      if (!enabled) throw new EtcdError('auth-not-enabled');
      if (!(await this.passwords.matches(password, user?.passwordHash))) throw new EtcdError('auth-failed');
      const token = tokens.issue(name, revision);
      if (token === undefined) {
        throw new SynodError(
          'failed-precondition',
          'this member only verifies tokens; ask one that has the private key',
        );
      }
      if (!tokens.logged) return token;
      try {
        await this.host.administer({ kind: 'authenticate', user: name, revision, token }, 'service');
        return token;
      } catch (error) {
        // What was changed meanwhile may have been the password.
        if (!(error instanceof EtcdError) || error.code !== 'auth-old-revision') throw error;
      }
    }
  }
}
