/**
 * What a caller can do about a failure, and whether it took effect. The RPC kit holds the one table from kind to gRPC status.
 *
 * | kind | took effect? | caller |
 * | --- | --- | --- |
 * | `invalid-argument`, `not-found`, `already-exists`, `failed-precondition` | no | fix the request |
 * | `permission-denied` | no | use another identity, or another listener |
 * | `conflict` | no | restart the whole transaction |
 * | `not-leader`, `wrong-shard` | no | refresh the view, re-route (`hint` says where) |
 * | `unavailable` | no from us, maybe from the network | back off; resend if idempotent |
 * | `overloaded` | no | back off longer |
 * | `outcome-unknown` | maybe | ask by request or transaction id, never guess |
 * | `corrupt` | maybe | operator decides |
 * | `unimplemented` | no | use another method |
 */
export type ErrorKind =
  | 'invalid-argument'
  | 'not-found'
  | 'already-exists'
  | 'failed-precondition'
  | 'permission-denied'
  | 'conflict'
  | 'not-leader'
  | 'wrong-shard'
  | 'unavailable'
  | 'overloaded'
  | 'outcome-unknown'
  | 'corrupt'
  | 'unimplemented';

/** A failure that a caller may have to act on. The message says what went wrong, where, and what to do. */
export class SynodError extends Error {
  constructor(
    readonly kind: ErrorKind,
    message: string,
    /** `hint`: the address or node to try instead, for `not-leader` and `wrong-shard`. */
    readonly details: { readonly hint?: string; readonly cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'SynodError';
  }
}
