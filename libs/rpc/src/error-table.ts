import { InvariantViolation } from '@synod/invariant';
import { SynodError, type ErrorKind } from '@synod/runtime';
import { status, type Metadata, type StatusObject } from '@grpc/grpc-js';

/** The one table from what went wrong to how gRPC says it. A kind without a status does not compile. */
const STATUS_OF = {
  'invalid-argument': status.INVALID_ARGUMENT,
  'not-found': status.NOT_FOUND,
  'already-exists': status.ALREADY_EXISTS,
  'failed-precondition': status.FAILED_PRECONDITION,
  'permission-denied': status.PERMISSION_DENIED,
  conflict: status.ABORTED,
  'not-leader': status.FAILED_PRECONDITION,
  'wrong-shard': status.FAILED_PRECONDITION,
  unavailable: status.UNAVAILABLE,
  overloaded: status.RESOURCE_EXHAUSTED,
  'outcome-unknown': status.UNKNOWN,
  corrupt: status.DATA_LOSS,
  unimplemented: status.UNIMPLEMENTED,
} satisfies Record<ErrorKind, status>;

/** Trailing metadata with the kind: several kinds share a status. Absent if a proxy, or another server, answered. */
const KIND_KEY = 'synod-error-kind';
/** Trailing metadata with the address to try instead. */
const HINT_KEY = 'synod-hint';

/**
 * A failure with a gRPC status and text of the caller's choosing: for contracts that prescribe both, as etcd's does. Everything
 * else throws `SynodError`.
 */
export class StatusError extends Error {
  constructor(
    readonly code: status,
    /** Goes to the client as it is. */
    readonly details: string,
  ) {
    super(details);
    this.name = 'StatusError';
  }
}

/** How a failed call is answered. */
export interface FailedStatus {
  readonly code: status;
  readonly details: string;
  /** Goes into the trailers. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The failure is a bug of the server, so its text stayed here. */
  readonly bug: boolean;
}

/** What a client is told of an error. Of bugs it learns the trace id only: no stack traces, no inner texts. */
export function failedStatus(error: unknown, traceId: string): FailedStatus {
  if (error instanceof StatusError) return { code: error.code, details: error.details, metadata: {}, bug: false };
  if (!(error instanceof SynodError)) {
    const fault = error instanceof InvariantViolation ? 'a broken invariant' : 'an internal error';
    const details = `${fault}; the server's log has it under trace id ${traceId}`;
    return { code: status.INTERNAL, details, metadata: {}, bug: true };
  }
  const { hint } = error.details;
  const metadata = { [KIND_KEY]: error.kind, ...(hint === undefined ? {} : { [HINT_KEY]: hint }) };
  return { code: STATUS_OF[error.kind], details: error.message, metadata, bug: false };
}

/** What one request of many on a stream failed with, as its own call would have: the stream goes on. */
export interface RequestFailure {
  readonly code: status;
  readonly details: string;
  readonly kind: ErrorKind;
}

/** @returns undefined for a bug of the server: that ends the stream, and is logged where it ends */
export function failureOf(error: unknown, { idempotent }: CallKind): RequestFailure | undefined {
  if (error instanceof SynodError) {
    return { code: STATUS_OF[error.kind], details: error.message, kind: error.kind };
  }
  if (!(error instanceof StatusError)) return undefined;
  const { code, details } = error;
  return { code, details, kind: kindOfStatus(code, details, idempotent) };
}

/** What grpc-js says when a call found no connection: then it was certainly not sent. */
const NEVER_SENT = /^(No connection established|Name resolution failed|Failed to connect|The channel has been closed)/;

export interface CallKind {
  /** Carrying it out twice does no harm, so an answer that was lost is as good as a refusal. */
  readonly idempotent: boolean;
}

/**
 * What a failed call means to its caller. Whenever it may have taken effect the kind is `outcome-unknown`: a wrong "no" doubles or
 * loses a write.
 * @param address as dialled, for the message
 */
export function callError(error: StatusObject, address: string, { idempotent }: CallKind): SynodError {
  const hint = metadataText(error.metadata, HINT_KEY);
  // grpc-js adds a note even when it has nothing to say.
  const details = error.details.replace(/\.? Resolution note: $/, '');
  const message = details === '' ? (status[error.code] ?? 'unknown error') : details;
  return new SynodError(kindOf(error, idempotent), `${address}: ${message}`, {
    cause: error,
    ...(hint === undefined ? {} : { hint }),
  });
}

function kindOf(error: StatusObject, idempotent: boolean): ErrorKind {
  const told = metadataText(error.metadata, KIND_KEY);
  if (told !== undefined && isErrorKind(told)) return told;
  return kindOfStatus(error.code, error.details, idempotent);
}

function kindOfStatus(code: status, details: string, idempotent: boolean): ErrorKind {
  switch (code) {
    case status.INVALID_ARGUMENT:
    case status.OUT_OF_RANGE:
      return 'invalid-argument';
    case status.NOT_FOUND:
      return 'not-found';
    case status.ALREADY_EXISTS:
      return 'already-exists';
    case status.PERMISSION_DENIED:
    case status.UNAUTHENTICATED:
      return 'permission-denied';
    case status.FAILED_PRECONDITION:
      return 'failed-precondition';
    case status.ABORTED:
      return 'conflict';
    case status.RESOURCE_EXHAUSTED:
      return 'overloaded';
    case status.UNIMPLEMENTED:
      return 'unimplemented';
    case status.DATA_LOSS:
      return 'corrupt';
    case status.UNAVAILABLE:
    case status.CANCELLED:
      // Not said by a Synod server, or it would have told the kind: the connection failed before, during or after the call.
      return idempotent || NEVER_SENT.test(details) ? 'unavailable' : 'outcome-unknown';
    case status.OK:
    case status.DEADLINE_EXCEEDED:
    case status.UNKNOWN:
    case status.INTERNAL:
      return 'outcome-unknown';
  }
}

function isErrorKind(text: string): text is ErrorKind {
  return Object.hasOwn(STATUS_OF, text);
}

function metadataText(metadata: Metadata | undefined, key: string): string | undefined {
  const value = metadata?.get(key)[0];
  return typeof value === 'string' ? value : undefined;
}

/** The gRPC status inside an error that a call threw: for contracts whose callers tell statuses and texts apart, as etcd's do. */
export function statusOf(error: unknown): { readonly code: status; readonly details: string } | undefined {
  if (error instanceof StatusError) return error;
  const cause = error instanceof SynodError ? error.details.cause : undefined;
  if (typeof cause !== 'object' || cause === null || !('code' in cause) || !('details' in cause)) return undefined;
  const { code, details } = cause;
  return typeof code === 'number' && typeof details === 'string' ? { code, details } : undefined;
}
