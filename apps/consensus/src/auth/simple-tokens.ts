import type { Clock, Random } from '@synod/runtime';
import type { TokenEvent } from '../state/auth/auth-commands';
import type { TokenHolder, TokenProvider } from './token-provider';

/** A token that is not used for so long is forgotten. (etcd: --auth-token-ttl.) */
export const SIMPLE_TOKEN_TTL_US = 300_000_000;
/** Too many to be guessed. */
const TOKEN_BYTES = 24;

interface Entry {
  readonly user: string;
  expiresAtUs: number;
}

/**
 * Tokens that mean something because they are in the log: every member knows them once it has applied that, each keeps them alive
 * by its own clock while they are used there, and none survives the process. How many there are is bounded by how fast passwords
 * can be checked in the time that a token lives.
 */
export class SimpleTokens implements TokenProvider {
  readonly logged = true;
  /** In the order they expire: one that is used moves to the end. */
  private readonly entries = new Map<string, Entry>();

  constructor(private readonly ports: { readonly clock: Clock; readonly random: Random }) {}

  issue(): string {
    return this.ports.random.bytes(TOKEN_BYTES).toString('base64url');
  }

  identify(token: string): TokenHolder | undefined {
    const entry = this.entries.get(token);
    if (entry === undefined) return undefined;
    this.entries.delete(token);
    if (entry.expiresAtUs <= this.ports.clock.monotonicUs()) return undefined;
    this.keep(token, entry.user);
    return { user: entry.user };
  }

  note(event: TokenEvent): void {
    switch (event.kind) {
      case 'issued':
        this.forgetExpired();
        return this.keep(event.token, event.user);
      case 'revoked':
        for (const [token, { user }] of this.entries) if (user === event.user) this.entries.delete(token);
        return;
      case 'all-revoked':
        return this.entries.clear();
    }
  }

  private keep(token: string, user: string): void {
    this.entries.set(token, { user, expiresAtUs: this.ports.clock.monotonicUs() + SIMPLE_TOKEN_TTL_US });
  }

  private forgetExpired(): void {
    const now = this.ports.clock.monotonicUs();
    for (const [token, { expiresAtUs }] of this.entries) {
      if (expiresAtUs > now) return;
      this.entries.delete(token);
    }
  }
}
