import { RequestStream } from '@synod/protocols';
import {
  SynodError,
  type Cancel,
  type Clock,
  type Connection,
  type Random,
  type Timers,
  type Transport,
} from '@synod/runtime';
import type { Compare, Coordination, CoordinationEntry, Operation, TransactionResult, WatchHandler } from './port';
import {
  coordinationProtocol,
  coordinationWatchProtocol,
  type CoordinationRequest,
  type CoordinationResponse,
  type WatchOrder,
} from './stream-protocol';

interface StreamPorts {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
}

/** For one member to answer; then another one is asked, if that can do no harm. */
const ATTEMPT_US = 2_000_000;
/** For a write: longer than a member needs to say what it knows itself. */
const WRITE_US = 8_000_000;
const ATTEMPTS_MAX = 6;
const PAUSE_MIN_US = 50_000;
const PAUSE_SPREAD_US = 200_000;

type ResponseTo<K extends CoordinationResponse['kind']> = Extract<CoordinationResponse, { readonly kind: K }>;

/**
 * `Coordination` at any of several members over the `Transport` port, for simulation. Stays with a member as long as it answers.
 * Reads go on to the next member; a write does so only while it was certainly not done.
 */
export class StreamCoordination implements Coordination {
  private readonly streams: readonly RequestStream<CoordinationRequest, CoordinationResponse>[];
  private current: number;
  private readonly watches = new Set<StreamWatch>();

  /** @param members addresses, at least one */
  constructor(
    private readonly ports: StreamPorts,
    private readonly members: readonly string[],
  ) {
    const protocol = coordinationProtocol();
    this.streams = members.map((address) => new RequestStream(ports, protocol, address));
    this.current = ports.random.below(members.length);
  }

  range(key: Buffer, rangeEnd?: Buffer): Promise<{ revision: bigint; entries: readonly CoordinationEntry[] }> {
    return this.ask<'range'>({ kind: 'range', key, rangeEnd }, 'repeatable');
  }

  async transaction(request: {
    readonly compare: readonly Compare[];
    readonly success: readonly Operation[];
    readonly failure: readonly Operation[];
  }): Promise<TransactionResult> {
    const { compare, success, failure } = request;
    return (await this.ask<'transaction'>({ kind: 'transaction', compare, success, failure }, 'once')).result;
  }

  async grantLease(ttlSeconds: number): Promise<bigint> {
    return (await this.ask<'lease-granted'>({ kind: 'grant-lease', ttlSeconds }, 'once')).lease;
  }

  async keepLeaseAlive(lease: bigint): Promise<number> {
    return (await this.ask<'lease-kept-alive'>({ kind: 'keep-lease-alive', lease }, 'repeatable')).seconds;
  }

  async revokeLease(lease: bigint): Promise<void> {
    await this.ask<'lease-revoked'>({ kind: 'revoke-lease', lease }, 'once');
  }

  watch(range: { key: Buffer; rangeEnd?: Buffer; startRevision: bigint }, handler: WatchHandler): () => void {
    const { key, rangeEnd, startRevision } = range;
    const watch = new StreamWatch(this.ports, this.members, { key, rangeEnd, startRevision }, handler);
    this.watches.add(watch);
    watch.dial();
    return () => {
      this.watches.delete(watch);
      watch.cancel();
    };
  }

  close(): void {
    for (const stream of this.streams) stream.close();
    for (const watch of this.watches) watch.cancel();
  }

  private async ask<K extends CoordinationResponse['kind']>(
    request: CoordinationRequest,
    repeat: 'repeatable' | 'once',
  ): Promise<ResponseTo<K>> {
    for (let attempt = 1; ; attempt++) {
      const asked = this.current;
      try {
        const stream = this.streams[asked];
        if (stream === undefined) throw new SynodError('unavailable', 'no member of the coordination service is known');
        const timeoutUs = repeat === 'once' ? WRITE_US : ATTEMPT_US;
        return (await stream.request(request, { timeoutUs })) as ResponseTo<K>;
      } catch (error) {
        if (!(error instanceof SynodError)) throw error;
        const failure = repeat === 'repeatable' && error.kind === 'outcome-unknown' ? asUnavailable(error) : error;
        if (failure.kind !== 'unavailable' || attempt === ATTEMPTS_MAX) throw failure;
        if (this.current === asked) this.current = (asked + 1) % this.streams.length;
      }
      await this.pause();
    }
  }

  private pause(): Promise<void> {
    const us = PAUSE_MIN_US + this.ports.random.below(PAUSE_SPREAD_US);
    return new Promise((resolve) => this.ports.timers.after(us, resolve));
  }
}

/** One watch, dialled at one member after another, going on after the last revision it heard of. */
class StreamWatch {
  private connection: Connection<WatchOrder> | undefined;
  private cancelRedial: Cancel = () => undefined;
  private ended = false;
  private member: number;
  private nextRevision: bigint;

  constructor(
    private readonly ports: StreamPorts,
    private readonly members: readonly string[],
    private readonly order: WatchOrder,
    private readonly handler: WatchHandler,
  ) {
    this.member = ports.random.below(members.length);
    this.nextRevision = order.startRevision;
  }

  dial(): void {
    if (this.ended) return;
    const address = this.members[this.member % this.members.length] ?? '';
    const connection = this.ports.transport.connect(coordinationWatchProtocol(), address, {
      receive: (news) => {
        if (this.ended || this.connection !== connection) return;
        if (news.kind === 'compacted') {
          this.cancel();
          this.handler.compacted(news.revision);
          return;
        }
        this.nextRevision = news.revision + 1n;
        this.handler.events(news.events, news.revision);
      },
      closed: () => {
        if (this.connection === connection) this.redial();
      },
    });
    this.connection = connection;
    connection.send({ ...this.order, startRevision: this.nextRevision });
  }

  cancel(): void {
    this.ended = true;
    this.cancelRedial();
    this.connection?.close();
  }

  private redial(): void {
    this.member++;
    const us = PAUSE_MIN_US + this.ports.random.below(PAUSE_SPREAD_US);
    this.cancelRedial = this.ports.timers.after(us, () => this.dial());
  }
}

function asUnavailable(error: SynodError): SynodError {
  return new SynodError('unavailable', error.message, { cause: error });
}
