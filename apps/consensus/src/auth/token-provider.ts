import type { TokenEvent } from '../state/auth/auth-commands';
import type { AuthRevision } from '../state/auth/auth-space';

/** Whom a token names, and the auth revision that it speaks for. */
export interface TokenHolder {
  readonly user: string;
  /** Absent if the token is forgotten when that matters: then it is good for the present. */
  readonly revision?: AuthRevision;
}

/** How a member hands out tokens and knows them again. */
export interface TokenProvider {
  /**
   * Whether members learn of tokens through the log: then one is good only once it is there, and one that is unknown may be known
   * to others already.
   */
  readonly logged: boolean;
  /** @returns undefined if this member only verifies */
  issue(user: string, revision: AuthRevision): string | undefined;
  /** @returns undefined for a token that is none, or no longer */
  identify(token: string): TokenHolder | undefined;
  note(event: TokenEvent): void;
}
