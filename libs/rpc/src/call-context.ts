import type { IncomingCall } from './incoming-call';

/** What a handler knows of the call that it serves, apart from the request. */
export class CallContext {
  private readonly deadlineAtMs: number;
  private aborted_ = false;
  private reason: Error | undefined;
  /** Made when it is asked for: most calls are over before anybody does. */
  private controller: AbortController | undefined;

  constructor(
    private readonly call: IncomingCall,
    /** `/package.Service/Method`. */
    readonly method: string,
    readonly traceId: string,
    /** The server's own bound, for calls whose client set none or a later one. */
    deadlineMsMax: number,
  ) {
    this.deadlineAtMs = Math.min(call.deadlineAtMs, Date.now() + deadlineMsMax);
    // Also at the end of every call, whatever came of it.
    call.onClosed(() => this.abort());
  }

  /** Address of the client. */
  get peer(): string {
    return this.call.peer;
  }

  /** The common name in the certificate that the client has shown, if it has: the server has checked it by then. */
  get commonName(): string | undefined {
    return this.call.commonName;
  }

  /** Nobody waits for the answer any more. */
  get aborted(): boolean {
    return this.aborted_;
  }

  /** Aborts when nobody waits for the answer any more: the client is gone, the deadline has passed, the server stops. */
  get signal(): AbortSignal {
    if (this.controller === undefined) {
      this.controller = new AbortController();
      if (this.aborted_) this.controller.abort(this.reason ?? gone());
    }
    return this.controller.signal;
  }

  /** Time until the answer is of no use; Infinity without a deadline. For passing on to other services. */
  get remainingMs(): number {
    return Math.max(0, this.deadlineAtMs - Date.now());
  }

  /** The value of a metadata key, if it is text; keys are in lower case. */
  metadata(key: string): string | undefined {
    return this.call.metadata(key);
  }

  /**
   * For the server that runs the call; handlers throw instead.
   * @param reason by default that the client went, or its time
   */
  abort(reason?: Error): void {
    if (this.aborted_) return;
    this.aborted_ = true;
    this.reason = reason;
    this.controller?.abort(reason ?? gone());
  }
}

function gone(): Error {
  return new Error('the client is gone or its deadline has passed');
}
