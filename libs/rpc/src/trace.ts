import { AsyncLocalStorage } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';

/** Metadata that carries the trace id of a request from service to service, and back to the client. */
export const TRACE_ID_KEY = 'x-trace-id';

/** What is accepted from a client: it ends in logs. */
const TRACE_ID = /^[A-Za-z0-9_-]{1,64}$/;

/** Ids that one random start is good for. */
const FRESH_MAX = 2 ** 32;

let fresh: { readonly start: string; next: number } | undefined;

const current = new AsyncLocalStorage<string>();

/** The trace id of the request being served; undefined outside of any. Log lines and outgoing calls carry it. */
export function currentTraceId(): string | undefined {
  return current.getStore();
}

/** Runs `work`, and everything asynchronous that it starts, under a trace id. */
export function withTraceId<T>(traceId: string, work: () => T): T {
  return current.run(traceId, work);
}

/** The client's own id if it is fit for a log, else a fresh one. */
export function traceIdFrom(received: string | undefined): string {
  return received !== undefined && TRACE_ID.test(received) ? received : freshTraceId();
}

/** A random start and a count: drawing random bytes for every call costs more than decoding it does. */
function freshTraceId(): string {
  if (fresh === undefined || fresh.next === FRESH_MAX) fresh = { start: randomBytes(4).toString('hex'), next: 0 };
  return fresh.start + (fresh.next++).toString(16).padStart(8, '0');
}
