import type { RemoteError } from './storage';
import type { Timestamp } from './transaction';

/** Asks for `count` timestamps, 1 to 2^18 at once: one request carries everything that waited. */
export interface TimestampRequest {
  readonly kind: 'timestamps';
  readonly count: number;
}

/** `first` and the `count − 1` after it belong to the asker alone; all are above every timestamp answered before the request was sent. */
export type TimestampResponse =
  | { readonly kind: 'timestamps'; readonly first: Timestamp; readonly count: number }
  | { readonly kind: 'error'; readonly error: RemoteError };
