import { performance } from 'node:perf_hooks';
import { status } from '@grpc/grpc-js';
import { InvariantViolation } from '@synod/invariant';
import { SynodError, type Log } from '@synod/runtime';
import { CallContext } from './call-context';
import { failedStatus, StatusError, type FailedStatus } from './error-table';
import type { IncomingCall } from './incoming-call';
import type { RpcLimits } from './limits';
import type { RpcObserver } from './observer';
import { TRACE_ID_KEY, traceIdFrom, withTraceId } from './trace';

/** How calls of one method are admitted. */
export interface CallPolicy {
  /** `/package.Service/Method`. */
  readonly method: string;
  /** A long-lived stream: bounded by `streamsMax`, or by `probeStreamsMax` if exempt, and ended rather than waited for when the server stops. */
  readonly stream: boolean;
  /** Served under any load and until the very end: health and reflection. */
  readonly exempt: boolean;
  /** Infinity for methods that wait by nature. */
  readonly deadlineMsMax: number;
}

export type Outcome<T> =
  | { readonly kind: 'done'; readonly value: T; readonly trailers: FailedStatus['metadata'] }
  | { readonly kind: 'failed'; readonly status: FailedStatus };

/** How handlers come by the trace id of their call; see `GrpcServerOptions`. */
export type Tracing = 'ambient' | 'explicit';

/** What a timer takes at most, about 24 days. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Everything that is the same for every call: admission, trace id, deadline, the status of what was thrown, metrics. */
export class CallGate {
  private inflight = 0;
  private readonly streams = new Set<CallContext>();
  /** The exempt ones, apart from the others, whose bound they shall not use up. */
  private readonly probeStreams = new Set<CallContext>();
  private stopping = false;
  private whenIdle: (() => void) | undefined;

  constructor(
    private readonly limits: RpcLimits,
    private readonly log: Log,
    private readonly observer: RpcObserver,
    /** Told of broken invariants: whoever runs the process stops it. */
    private readonly fault: (error: InvariantViolation) => void,
    private readonly tracing: Tracing,
  ) {}

  /** Runs one call; never rejects. */
  async run<T>(
    call: IncomingCall,
    policy: CallPolicy,
    work: (context: CallContext) => Promise<T>,
  ): Promise<Outcome<T>> {
    const startedMs = performance.now();
    const traceId = traceIdFrom(call.metadata(TRACE_ID_KEY));
    const context = new CallContext(call, policy.method, traceId, policy.deadlineMsMax);
    const outcome = await (this.tracing === 'ambient'
      ? withTraceId(traceId, () => this.admitted(context, policy, work))
      : this.admitted(context, policy, work));
    const code = outcome.kind === 'failed' ? outcome.status.code : status.OK;
    const seconds = (performance.now() - startedMs) / 1_000;
    this.observer.callEnded(policy.method, call.cancelled ? 'CANCELLED' : (status[code] ?? String(code)), seconds);
    return outcome;
  }

  /** Refuses new calls from now on; resolves when those being served are done, streams apart. */
  async drain(): Promise<void> {
    this.stopping = true;
    if (this.inflight === 0) return;
    await new Promise<void>((resolve) => {
      this.whenIdle = resolve;
    });
  }

  /** Ends every stream with UNAVAILABLE. */
  endStreams(): void {
    for (const context of [...this.streams, ...this.probeStreams]) context.abort(stopping());
  }

  private async admitted<T>(
    context: CallContext,
    policy: CallPolicy,
    work: (context: CallContext) => Promise<T>,
  ): Promise<Outcome<T>> {
    try {
      this.admit(policy);
    } catch (error) {
      return this.failed(error, context);
    }
    const running = policy.stream
      ? this.runStream(context, this.streamsLike(policy), work)
      : this.runUnary(context, work);
    try {
      return { kind: 'done', value: await running, trailers: { [TRACE_ID_KEY]: context.traceId } };
    } catch (error) {
      return this.failed(error, context);
    }
  }

  private admit(policy: CallPolicy): void {
    const { exempt, stream } = policy;
    if (exempt && !stream) return;
    if (this.stopping && !exempt) throw stopping();
    const { inflightMax, streamsMax, probeStreamsMax } = this.limits;
    const count = stream ? this.streamsLike(policy).size : this.inflight;
    const bound = !stream ? inflightMax : exempt ? probeStreamsMax : streamsMax;
    if (count < bound) return;
    const what = !stream ? 'calls are being served' : exempt ? 'streams of its kind are open' : 'streams are open';
    throw new SynodError('overloaded', `${bound} ${what}, which is this server's bound; back off`);
  }

  private streamsLike({ exempt }: CallPolicy): Set<CallContext> {
    return exempt ? this.probeStreams : this.streams;
  }

  /** The call stays counted until its work is over, even when its deadline was answered before: the bound is on work. */
  private runUnary<T>(context: CallContext, work: (context: CallContext) => Promise<T>): Promise<T> {
    this.inflight++;
    return new Promise<T>((resolve, reject) => {
      const timer = atDeadline(context, reject);
      const over = (): void => {
        clearTimeout(timer);
        this.inflight--;
        if (this.inflight === 0) this.whenIdle?.();
      };
      work(context).then(
        (value) => {
          over();
          resolve(value);
        },
        (error: Error) => {
          over();
          reject(error);
        },
      );
    });
  }

  private async runStream<T>(
    context: CallContext,
    streams: Set<CallContext>,
    work: (context: CallContext) => Promise<T>,
  ): Promise<T> {
    // A signal that has aborted tells nobody again.
    if (context.aborted) throw context.signal.reason as Error;
    streams.add(context);
    this.observer.streamOpened(context.method);
    const timer = atDeadline(context, () => undefined);
    const aborted = new Promise<never>((_, reject) => {
      context.signal.addEventListener('abort', () => reject(context.signal.reason as Error), { once: true });
    });
    try {
      // Async, so that work which throws at once loses no race: nobody would be left to hear that the call was aborted.
      return await Promise.race([(async () => work(context))(), aborted]);
    } finally {
      clearTimeout(timer);
      streams.delete(context);
      this.observer.streamClosed(context.method);
    }
  }

  private failed<T>(error: unknown, context: CallContext): Outcome<T> {
    const { method, aborted, traceId } = context;
    const failure = failedStatus(error, traceId);
    if (error instanceof InvariantViolation) this.fault(error);
    if (failure.bug && !aborted) {
      const stack = error instanceof Error ? error.stack : String(error);
      this.log.error('a call failed for a reason that nobody foresaw', { method, traceId, stack });
    } else {
      this.log.debug('a call failed', { method, traceId, code: status[failure.code], details: failure.details });
    }
    return { kind: 'failed', status: { ...failure, metadata: { ...failure.metadata, [TRACE_ID_KEY]: traceId } } };
  }
}

/** Aborts a call that outlives its deadline, the client's or the server's own. */
function atDeadline(context: CallContext, abandon: (error: StatusError) => void): NodeJS.Timeout | undefined {
  const ms = context.remainingMs;
  if (ms > TIMER_MS_MAX) return undefined;
  return setTimeout(() => {
    const details = `not done within ${ms} ms; whether it took effect is not known`;
    const error = new StatusError(status.DEADLINE_EXCEEDED, details);
    context.abort(error);
    abandon(error);
  }, ms).unref();
}

function stopping(): SynodError {
  return new SynodError('unavailable', 'the server is stopping; use another one');
}
