import type {
  Coordination,
  CoordinationEntry,
  CoordinationEvent,
  TransactionResult,
  WatchHandler,
} from '@synod/coordination';
import {
  RequestStream,
  serveRequests,
  type ErrorResponse,
  type Numbered,
  type RequestProtocol,
} from '@synod/protocols';
import {
  SynodError,
  type Clock,
  type Codec,
  type Connection,
  type Protocol,
  type Random,
  type Timers,
  type Transport,
} from '@synod/runtime';

// The coordination store over the simulated network. In production this is the etcd API over gRPC, which no simulation can carry; what is
// behind it, and the failures in between, are the same.

type TransactionRequest = Parameters<Coordination['transaction']>[0];

type Request =
  | { readonly kind: 'range'; readonly key: Buffer; readonly rangeEnd: Buffer | undefined }
  | { readonly kind: 'transaction'; readonly request: TransactionRequest }
  | { readonly kind: 'grant-lease'; readonly ttlSeconds: number }
  | { readonly kind: 'keep-alive'; readonly lease: bigint }
  | { readonly kind: 'revoke-lease'; readonly lease: bigint };

type Response =
  | { readonly kind: 'range'; readonly revision: bigint; readonly entries: readonly CoordinationEntry[] }
  | { readonly kind: 'transaction'; readonly result: TransactionResult }
  | { readonly kind: 'lease'; readonly value: bigint }
  | ErrorResponse;

type WatchRequest = { readonly key: Buffer; readonly rangeEnd: Buffer | undefined; readonly startRevision: bigint };

type WatchEvent =
  | { readonly kind: 'events'; readonly events: readonly CoordinationEvent[]; readonly revision: bigint }
  | { readonly kind: 'compacted'; readonly revision: bigint };

/** JSON, with big integers and bytes as tagged strings. */
const structured: Codec<never> = {
  encode: (batch) => Buffer.from(JSON.stringify(tagged(batch))),
  decode: (bytes) => JSON.parse(Buffer.from(bytes).toString(), untagged) as never[],
};

function tagged(value: unknown): unknown {
  if (typeof value === 'bigint') return { $bigint: value.toString() };
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('base64') };
  if (Array.isArray(value)) return value.map(tagged);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, tagged(field)]));
}

function untagged(_name: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if ('$bigint' in value) return BigInt(String(value.$bigint));
  if ('$bytes' in value) return Buffer.from(String(value.$bytes), 'base64');
  return value;
}

const callProtocol: RequestProtocol<Request, Response> = {
  name: '/simulated.Coordination/Call',
  up: structured as Codec<Numbered<Request>>,
  down: structured as Codec<Numbered<Response>>,
};

const watchProtocol: Protocol<WatchRequest, WatchEvent> = {
  name: '/simulated.Coordination/Watch',
  up: structured as Codec<WatchRequest>,
  down: structured as Codec<WatchEvent>,
};

/** Serves a member's view of the store to the rest of the simulated cluster. */
export function serveCoordination(transport: Transport, store: Coordination): void {
  const call = async (request: Request): Promise<Response> => {
    switch (request.kind) {
      case 'range':
        return { kind: 'range', ...(await store.range(request.key, request.rangeEnd)) };
      case 'transaction':
        return { kind: 'transaction', result: await store.transaction(request.request) };
      case 'grant-lease':
        return { kind: 'lease', value: await store.grantLease(request.ttlSeconds) };
      case 'keep-alive':
        return { kind: 'lease', value: BigInt(await store.keepLeaseAlive(request.lease)) };
      case 'revoke-lease':
        await store.revokeLease(request.lease);
        return { kind: 'lease', value: request.lease };
    }
  };
  serveRequests(transport, callProtocol, call, { inflightMax: 4096 });
  transport.serve(watchProtocol, (connection) => {
    let end = (): void => undefined;
    const send = (event: WatchEvent): void => {
      // A watcher that cannot keep up is cut off; it resumes where it was.
      if (!connection.send(event)) connection.close();
    };
    return {
      receive: ({ key, rangeEnd, startRevision }) => {
        end();
        end = store.watch(
          { key, ...(rangeEnd === undefined ? {} : { rangeEnd }), startRevision },
          {
            events: (events, revision) => send({ kind: 'events', events, revision }),
            compacted: (revision) => send({ kind: 'compacted', revision }),
          },
        );
      },
      closed: () => end(),
    };
  });
}

interface Ports {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
}

const CALL_TIMEOUT_US = 2_000_000;
/** For one call over all members; then the caller is told. */
const PATIENCE_US = 6_000_000;
const PAUSE_US = 100_000;

/** The asking end: goes from member to member until one answers. */
export class RemoteCoordination implements Coordination {
  private readonly streams: readonly RequestStream<Request, Response>[];
  private current: number;

  constructor(
    private readonly ports: Ports,
    private readonly members: readonly string[],
  ) {
    this.streams = members.map((address) => new RequestStream(ports, callProtocol, address));
    this.current = ports.random.below(members.length);
  }

  async range(key: Buffer, rangeEnd?: Buffer): Promise<{ revision: bigint; entries: readonly CoordinationEntry[] }> {
    const answer = await this.call({ kind: 'range', key, rangeEnd }, true);
    if (answer.kind !== 'range') throw new TypeError(`a range was answered with ${answer.kind}`);
    return { revision: answer.revision, entries: answer.entries };
  }

  async transaction(request: TransactionRequest): Promise<TransactionResult> {
    const answer = await this.call({ kind: 'transaction', request }, false);
    if (answer.kind !== 'transaction') throw new TypeError(`a transaction was answered with ${answer.kind}`);
    return answer.result;
  }

  async grantLease(ttlSeconds: number): Promise<bigint> {
    return this.lease({ kind: 'grant-lease', ttlSeconds });
  }

  async keepLeaseAlive(lease: bigint): Promise<number> {
    return Number(await this.lease({ kind: 'keep-alive', lease }));
  }

  async revokeLease(lease: bigint): Promise<void> {
    await this.lease({ kind: 'revoke-lease', lease });
  }

  watch(range: { key: Buffer; rangeEnd?: Buffer; startRevision: bigint }, handler: WatchHandler): () => void {
    const { key, rangeEnd } = range;
    let next = range.startRevision;
    let ended = false;
    let connection: Connection<WatchRequest> | undefined;
    const dial = (): void => {
      if (ended) return;
      const address = this.members[this.ports.random.below(this.members.length)] ?? '';
      connection = this.ports.transport.connect(watchProtocol, address, {
        receive: (event) => {
          if (ended) return;
          if (event.kind === 'compacted') {
            ended = true;
            connection?.close();
            handler.compacted(event.revision);
          } else {
            next = event.revision + 1n;
            handler.events(event.events, event.revision);
          }
        },
        closed: () => void this.ports.timers.after(PAUSE_US, dial),
      });
      connection.send({ key, rangeEnd, startRevision: next });
    };
    dial();
    return () => {
      ended = true;
      connection?.close();
    };
  }

  private async lease(request: Request): Promise<bigint> {
    const answer = await this.call(request, false);
    if (answer.kind !== 'lease') throw new TypeError(`a lease request was answered with ${answer.kind}`);
    return answer.value;
  }

  /** @param idempotent a lost answer is no reason to stop asking */
  private async call(request: Request, idempotent: boolean): Promise<Exclude<Response, ErrorResponse>> {
    const deadline = this.ports.clock.monotonicUs() + PATIENCE_US;
    for (;;) {
      const stream = this.streams[this.current % this.streams.length];
      try {
        if (stream === undefined) throw new SynodError('unavailable', 'no consensus member is known');
        return await stream.request(request, { timeoutUs: CALL_TIMEOUT_US });
      } catch (error) {
        if (!(error instanceof SynodError)) throw error;
        const again = error.kind === 'unavailable' || error.kind === 'overloaded' || error.kind === 'not-leader';
        const retry = again || (idempotent && error.kind === 'outcome-unknown');
        if (!retry || this.ports.clock.monotonicUs() > deadline) throw error;
        this.current++;
        await new Promise<void>((resolve) => void this.ports.timers.after(PAUSE_US, resolve));
      }
    }
  }
}
