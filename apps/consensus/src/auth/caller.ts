import type { Identity } from '../state/request-check';

/** Who asks something of a member. */
export type Caller =
  /** What runs inside the member itself: may do anything. */
  | 'service'
  /** A client that does not say who it is. */
  | 'client'
  /** Whoever is at the other end of a call. */
  | {
      /** What it says that it is: writes under the reserved prefix are for services. */
      readonly identity: Identity;
      /** What it got for its password, or was given by whoever holds the signing key. */
      readonly token: string | undefined;
      /** Whom its TLS certificate names. Asked only for who shows no token. */
      readonly certified?: () => string | undefined;
    };

export function identityOf(caller: Caller): Identity {
  return typeof caller === 'string' ? caller : caller.identity;
}
