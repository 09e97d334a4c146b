import type { Deadline, Metadata } from '@grpc/grpc-js';

/** What grpc-js's calls of every shape have in common on the server. */
export interface ServerCall {
  readonly metadata: Metadata;
  readonly cancelled: boolean;
  getPeer(): string;
  getDeadline(): Deadline;
  getAuthContext(): { readonly sslPeerCertificate?: { readonly subject?: { readonly CN?: string | string[] } } } | null;
  once(event: 'cancelled', listener: () => void): unknown;
}

/** What a handler knows of the call that it serves, apart from the request. */
export class CallContext {
  private readonly deadlineAtMs: number;
  private aborted_ = false;
  private reason: Error | undefined;
  /** Made when it is asked for: most calls are over before anybody does. */
  private controller: AbortController | undefined;

  constructor(
    private readonly call: ServerCall,
    /** `/package.Service/Method`. */
    readonly method: string,
    readonly traceId: string,
    /** The server's own bound, for calls whose client set none or a later one. */
    deadlineMsMax: number,
  ) {
    const asked = call.getDeadline();
    this.deadlineAtMs = Math.min(asked instanceof Date ? asked.getTime() : asked, Date.now() + deadlineMsMax);
    // Also at the end of every call, whatever came of it.
    call.once('cancelled', () => this.abort());
  }

  /** Address of the client. */
  get peer(): string {
    return this.call.getPeer();
  }

  /** The common name in the certificate that the client has shown, if it has: the server has checked it by then. */
  get commonName(): string | undefined {
    const name = this.call.getAuthContext()?.sslPeerCertificate?.subject?.CN;
    return typeof name === 'string' && name !== '' ? name : undefined;
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

  /** The first value of a metadata key, if it is text; keys are in lower case. */
  metadata(key: string): string | undefined {
    const value = this.call.metadata.get(key)[0];
    return typeof value === 'string' ? value : undefined;
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
