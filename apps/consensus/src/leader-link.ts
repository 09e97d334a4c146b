import { RequestStream, serveRequests } from '@synod/protocols';
import type { NodeId } from '@synod/replication';
import { SynodError, type Clock, type Log, type Random, type Timers, type Transport } from '@synod/runtime';
import type { LeaderDesk } from './leader-desk';
import { forwardProtocol, type LeaderRequest, type LeaderResponse } from './leader-requests';

/** Requests of other members that this one works on at once. */
const FORWARDED_INFLIGHT_MAX = 16_384;

/** How a member reaches another one that leads. */
export interface LeaderLink {
  /** @throws {SynodError} as `RequestStream.request` */
  ask(leader: NodeId, request: LeaderRequest, timeoutUs: number): Promise<LeaderResponse>;
}

interface LinkPorts {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
}

/** The streams to the other members, dialled when one of them first leads. */
export class LeaderLinks implements LeaderLink {
  private readonly protocol = forwardProtocol();
  private readonly streams = new Map<NodeId, RequestStream<LeaderRequest, LeaderResponse>>();

  constructor(
    private readonly ports: LinkPorts,
    /** Where each member serves its peers. */
    private readonly addresses: ReadonlyMap<NodeId, string>,
  ) {}

  ask(leader: NodeId, request: LeaderRequest, timeoutUs: number): Promise<LeaderResponse> {
    let stream = this.streams.get(leader);
    if (stream === undefined) {
      const address = this.addresses.get(leader);
      if (address === undefined) {
        return Promise.reject(new SynodError('unavailable', `the address of member ${leader} is not known`));
      }
      stream = new RequestStream(this.ports, this.protocol, address);
      this.streams.set(leader, stream);
    }
    return stream.request(request, { timeoutUs });
  }

  /** Serves the desk of this member to the others. */
  serve(desk: LeaderDesk): void {
    serveRequests(this.ports.transport, this.protocol, (request) => desk.answer(request), {
      inflightMax: FORWARDED_INFLIGHT_MAX,
      failed: (error) => this.ports.log.error('a forwarded request failed', { error: String(error) }),
    });
  }

  close(): void {
    for (const stream of this.streams.values()) stream.close();
  }
}
