import { RequestStream, serveRequests } from '@synod/protocols';
import type { NodeId } from '@synod/replication';
import { SynodError, type Clock, type Log, type Random, type Timers, type Transport } from '@synod/runtime';
import type { LeaderDesk } from './leader-desk';
import { forwardProtocol, type LeaderRequest, type LeaderResponse } from './leader-requests';
import { decodeCommand } from './state/command-codec';

/** Requests of other members that this one works on at once. */
const FORWARDED_INFLIGHT_MAX = 16_384;

/** The connection broke under a request: whether the leader did what was asked is not known. */
export class LinkBroken extends SynodError {
  constructor(cause: SynodError) {
    super('outcome-unknown', cause.message, { cause });
    this.name = 'LinkBroken';
  }
}

/** How a member reaches another one that leads. */
export interface LeaderLink {
  /** @throws {SynodError} as `RequestStream.request`, with what broke it told apart as `LinkBroken` */
  ask(leader: NodeId, request: LeaderRequest, timeoutUs: number): Promise<LeaderResponse>;
}

interface LinkPorts {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
}

/** How long a member may take to prove that it can be reached. */
const PROOF_TIMEOUT_US = 1_000_000;

/** The stream to one member. */
interface Line {
  readonly stream: RequestStream<LeaderRequest, LeaderResponse>;
  /** Something came back since the stream last broke. Only then is a request put on it whose loss would leave its outcome unknown. */
  proof: Promise<void> | undefined;
}

/**
 * The streams to the other members, dialled when one of them first leads. A line that broke has to prove itself with a request that
 * changes nothing: so a member that is gone costs retries, and no unknown outcomes but those of requests on their way when it went.
 */
export class LeaderLinks implements LeaderLink {
  private readonly protocol = forwardProtocol();
  private readonly lines = new Map<NodeId, Line>();

  constructor(
    private readonly ports: LinkPorts,
    /** Where each member serves its peers; changes as members come and move. */
    private readonly addresses: ReadonlyMap<NodeId, string>,
  ) {}

  async ask(leader: NodeId, request: LeaderRequest, timeoutUs: number): Promise<LeaderResponse> {
    const line = this.lineTo(leader);
    if (!line.stream.isOpen) line.proof = undefined;
    await (line.proof ??= this.prove(line));
    try {
      return await line.stream.request(request, { timeoutUs });
    } catch (error) {
      if (!(error instanceof SynodError) || error.kind !== 'outcome-unknown') throw error;
      line.proof = undefined;
      throw line.stream.isOpen ? error : new LinkBroken(error);
    }
  }

  private lineTo(member: NodeId): Line {
    let line = this.lines.get(member);
    const address = this.addresses.get(member);
    if (address === undefined) throw new SynodError('unavailable', `the address of member ${member} is not known`);
    if (line?.stream.address !== address) {
      line?.stream.close();
      line = { stream: new RequestStream(this.ports, this.protocol, address), proof: undefined };
      this.lines.set(member, line);
    }
    return line;
  }

  /** @throws {SynodError} `unavailable`: nothing was asked of the member that changes anything */
  private async prove(line: Line): Promise<void> {
    try {
      await line.stream.request({ kind: 'barrier' }, { timeoutUs: PROOF_TIMEOUT_US });
    } catch (error) {
      if (!(error instanceof SynodError)) throw error;
      // A refusal is an answer too.
      if (error.kind === 'not-leader' || error.kind === 'overloaded') return;
      line.proof = undefined;
      throw new SynodError('unavailable', error.message, { cause: error });
    }
  }

  /** Serves the desk of this member to the others. */
  serve(desk: LeaderDesk): void {
    serveRequests(this.ports.transport, this.protocol, async (request) => desk.answer(readable(request)), {
      inflightMax: FORWARDED_INFLIGHT_MAX,
      failed: (error) => this.ports.log.error('a forwarded request failed', { error: String(error) }),
    });
  }

  close(): void {
    for (const { stream } of this.lines.values()) stream.close();
  }
}

/**
 * What is no command must not get into the log: every replica would have to stop at it.
 * @throws {SynodError} `corrupt`
 */
function readable(request: LeaderRequest): LeaderRequest {
  if (request.kind === 'propose') decodeCommand(request.command);
  return request;
}
