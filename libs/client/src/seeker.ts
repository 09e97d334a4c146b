import { RequestStream, type ErrorResponse, type RequestProtocol } from '@synod/protocols';
import { SynodError } from '@synod/runtime';
import { Backoff } from './backoff';
import type { ClientPorts } from './ports';

/** A part of the cluster that one of several nodes answers for: a shard, the oracle, any coordinator. */
export interface Target {
  /** For messages: `shard 17`. */
  readonly name: string;
  /** Addresses to try, the most likely first; empty while none is known. */
  candidates(): readonly string[];
  /** Who answered last, or was named as the one who would. Kept up by the seeker. */
  leader: string | undefined;
}

export interface AskOptions {
  /** For the whole search. */
  readonly timeoutUs: number;
  /** For one node to answer; the next is asked then. */
  readonly tryTimeoutUs: number;
  /**
   * Whether a request whose answer was lost may be sent again, here or elsewhere: only if a repeat changes nothing.
   * Without it the first lost answer is the caller's to resolve.
   */
  readonly resend: boolean;
}

const PAUSE_MIN_US = 10_000;
/** Longer pauses would add to the time that a new leader needs anyway. */
const PAUSE_MAX_US = 250_000;

/**
 * Sends requests to the node that can answer them: follows the hints of those that cannot, asks every candidate once per round and
 * pauses between rounds, so that a group without a leader is not hammered and two nodes that name each other are not believed for long.
 */
export class Seeker<Req, Res extends { readonly kind: string }> {
  private readonly streams = new Map<string, RequestStream<Req, Res>>();
  private closed = false;

  constructor(
    private readonly ports: ClientPorts,
    private readonly protocol: RequestProtocol<Req, Res>,
  ) {}

  /**
   * @throws {SynodError} what the node that can answer says; `outcome-unknown` if an answer was lost and may not be, or was not, made
   *   good by a repeat; `unavailable` or `overloaded` if certainly nothing was done
   */
  async ask(target: Target, request: Req, options: AskOptions): Promise<Exclude<Res, ErrorResponse>> {
    const deadlineUs = this.ports.clock.monotonicUs() + options.timeoutUs;
    const backoff = new Backoff(this.ports, PAUSE_MIN_US, PAUSE_MAX_US);
    const tried = new Set<string>();
    let lost: SynodError | undefined;
    let last: SynodError | undefined;
    for (;;) {
      if (this.closed) throw new SynodError('unavailable', 'the client is closed');
      const leftUs = deadlineUs - this.ports.clock.monotonicUs();
      if (leftUs <= 0) throw lost ?? gaveUp(target, options.timeoutUs, last);
      const address = choose(target, tried);
      if (address === undefined) {
        await backoff.pause(leftUs);
        tried.clear();
        continue;
      }
      tried.add(address);
      try {
        const timeoutUs = Math.min(options.tryTimeoutUs, leftUs);
        const response = await this.stream(address).request(request, { timeoutUs });
        target.leader = address;
        return response;
      } catch (error) {
        if (!(error instanceof SynodError)) throw error;
        last = error;
        if (!follow(target, address, error)) throw error;
        if (error.kind === 'overloaded') await backoff.pause(leftUs);
        if (error.kind !== 'outcome-unknown') continue;
        if (!options.resend) throw error; // Invariant `only-idempotent-requests-are-resent`.
        lost = error;
      }
    }
  }

  /** Breaks every connection; requests in flight end as `outcome-unknown`. */
  close(): void {
    this.closed = true;
    for (const stream of this.streams.values()) stream.close();
  }

  private stream(address: string): RequestStream<Req, Res> {
    let stream = this.streams.get(address);
    if (stream === undefined) {
      stream = new RequestStream(this.ports, this.protocol, address);
      this.streams.set(address, stream);
    }
    return stream;
  }
}

/** @returns undefined if everyone was asked in this round */
function choose(target: Target, tried: ReadonlySet<string>): string | undefined {
  if (target.leader !== undefined && !tried.has(target.leader)) return target.leader;
  return target.candidates().find((address) => !tried.has(address));
}

/** Takes over what an error says about who leads. @returns false if no other node would answer differently */
function follow(target: Target, address: string, error: SynodError): boolean {
  switch (error.kind) {
    case 'not-leader':
      target.leader = error.details.hint;
      return true;
    case 'unavailable':
    case 'outcome-unknown':
      if (target.leader === address) target.leader = undefined;
      return true;
    case 'overloaded':
      return true;
    case 'invalid-argument':
    case 'not-found':
    case 'already-exists':
    case 'failed-precondition':
    case 'permission-denied':
    case 'conflict':
    case 'wrong-shard':
    case 'corrupt':
    case 'unimplemented':
      return false;
  }
}

function gaveUp(target: Target, timeoutUs: number, last: SynodError | undefined): SynodError {
  const reason = last === undefined ? 'no node of it is known' : last.message;
  const kind = last?.kind === 'overloaded' ? 'overloaded' : 'unavailable';
  return new SynodError(kind, `${target.name} did not answer in ${timeoutUs / 1_000} ms: ${reason}`, { cause: last });
}
