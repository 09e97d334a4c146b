import type { StoreReader } from '@synod/runtime';
import type { TokenEvent } from '../state/auth/auth-commands';
import type { AuthMeta } from '../state/auth/auth-space';
import { MEMBER, NOBODY, type Authorities, type Authority } from '../state/auth/authority';
import { EtcdError, type EtcdErrorName } from '../state/errors';
import type { Caller } from './caller';
import type { TokenProvider } from './token-provider';

/** Why somebody is refused, if so. Asked, and answered, in one turn. */
export type Question = (
  authorities: Authorities,
  store: StoreReader,
  authority: Authority,
) => EtcdErrorName | undefined;

/** Finds out on whose behalf callers ask, on one member. While users are not checked it costs a look at a flag. */
export class Gatekeeper {
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly authorities: Authorities,
    private readonly store: StoreReader,
    readonly tokens: TokenProvider,
    /** Waits until this member's state shows everything that was acknowledged anywhere before. */
    private readonly barrier: () => Promise<void>,
    /** Whether who shows no token is the user whom its certificate names. (etcd: with client-cert-auth.) */
    private readonly certificatesName = false,
  ) {}

  /** Whether users are checked, as far as this member knows. */
  get enabled(): boolean {
    return this.meta.enabled;
  }

  get meta(): AuthMeta {
    return this.authorities.meta(this.store);
  }

  /** @throws {EtcdError} `invalid-auth-token`; or that no leader could be asked about it */
  async authorityOf(caller: Caller): Promise<Authority> {
    if (!this.enabled || caller === 'client') return NOBODY;
    if (caller === 'service') return MEMBER;
    const { token } = caller;
    if (token === undefined) {
      const name = this.certificatesName ? caller.certified?.() : undefined;
      return name === undefined ? NOBODY : { kind: 'user', name, revision: this.meta.revision };
    }
    let holder = this.tokens.identify(token);
    if (holder === undefined && this.tokens.logged) {
      // Another member may have handed it out and this one not have applied that yet.
      await this.barrier();
      holder = this.tokens.identify(token);
    }
    if (holder === undefined) throw new EtcdError('invalid-auth-token');
    return { kind: 'user', name: holder.user, revision: holder.revision ?? this.meta.revision };
  }

  /**
   * Asks about a caller once it is known who that is.
   * @throws {EtcdError} with the answer
   */
  async demand(caller: Caller, question: Question): Promise<void> {
    if (!this.enabled) return;
    const refusal = this.ask(await this.authorityOf(caller), question);
    if (refusal !== undefined) throw new EtcdError(refusal);
  }

  ask(authority: Authority, question: Question): EtcdErrorName | undefined {
    return question(this.authorities, this.store, authority);
  }

  /** Somebody who was let in before, for a question about what may be done now. */
  renewed(authority: Authority): Authority {
    return authority.kind === 'user' ? { ...authority, revision: this.meta.revision } : authority;
  }

  /** Follows what was applied. */
  note(tokens: readonly TokenEvent[], changed: boolean): void {
    for (const event of tokens) this.tokens.note(event);
    if (changed) for (const listener of this.listeners) listener();
  }

  /** Calls back whenever users or roles have changed. @returns ends that */
  whenChanged(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
