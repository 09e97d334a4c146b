import { serviceDefinition, type consensusV1, type etcdserverpb, type MethodDefinition } from '@synod/contracts';
import { errorFromWire } from '@synod/protocols';
import type { ClientStream, GrpcChannels } from '@synod/rpc';
import { SynodError, type ErrorKind } from '@synod/runtime';

const EXCHANGE = serviceDefinition('synod.consensus.v1.KvStream').Exchange;
type Response = { readonly input: consensusV1.KvStreamExchangeResponse; readonly output: Answers };
type Answers = consensusV1.KvStreamExchangeResponse__Output;

/** The same, of batches encoded request by request: messages of one repeated field are joined by joining their bytes. */
const JOINED: MethodDefinition<{ readonly input: readonly Buffer[]; readonly output: unknown }, Response> = {
  ...EXCHANGE,
  requestSerialize: (parts) => Buffer.concat(parts),
};

/** As many as a member takes up of one stream. */
const INFLIGHT_MAX = 4_096;
/** A batch of more bytes is split: far below what a member takes, and a member's other streams shall not wait behind it. */
const BATCH_BYTES_MAX = 1024 * 1024;
const ID_MAX = 2 ** 32 - 1;

interface Waiting {
  readonly resolve: (response: consensusV1.KvResponse__Output) => void;
  readonly reject: (error: SynodError) => void;
  /** Nothing comes of doing it twice. */
  readonly idempotent: boolean;
}

/**
 * One stream of requests to the keys of one member: what a turn of the event loop asks leaves as one message. Requests run side by side,
 * in no order. The member answers each within its own time-out, and a connection that is dead is noticed by its keep-alive, so
 * requests have no timers here. When the stream has ended, make another one.
 * Every request throws `SynodError`: the member's own (`statusOf` has etcd's status and text); `overloaded` or `unavailable` if it was
 * certainly not sent; `outcome-unknown` if the stream ended after it was, and `unavailable` then for reads.
 */
export class KvStream {
  private readonly stream: ClientStream<readonly Buffer[]>;
  private readonly waiting = new Map<number, Waiting>();
  private outbox: { readonly id: number; readonly bytes: Buffer }[] = [];
  private lastId = 0;
  private ended: string | undefined;

  constructor(
    channels: GrpcChannels,
    private readonly address: string,
    /** As with calls: `token`, `hasleader`. */
    metadata: Readonly<Record<string, string>> = {},
  ) {
    this.stream = channels.openStream(
      address,
      JOINED,
      {
        receive: ({ responses }) => responses.forEach((response) => this.settle(response)),
        closed: (error) => this.end(error?.message ?? `${address} ended the stream`, error),
      },
      { metadata },
    );
  }

  get isOpen(): boolean {
    return this.ended === undefined;
  }

  get inflight(): number {
    return this.waiting.size;
  }

  async put(put: etcdserverpb.PutRequest): Promise<etcdserverpb.PutResponse__Output> {
    return present((await this.ask({ put })).put);
  }

  async deleteRange(deleteRange: etcdserverpb.DeleteRangeRequest): Promise<etcdserverpb.DeleteRangeResponse__Output> {
    return present((await this.ask({ deleteRange })).deleteRange);
  }

  async range(range: etcdserverpb.RangeRequest): Promise<etcdserverpb.RangeResponse__Output> {
    return present((await this.ask({ range })).range);
  }

  async txn(txn: etcdserverpb.TxnRequest): Promise<etcdserverpb.TxnResponse__Output> {
    return present((await this.ask({ txn })).txn);
  }

  /** Requests that are not answered fail. */
  close(): void {
    this.stream.close();
    this.end('this end closed the stream');
  }

  private ask(body: Omit<consensusV1.KvRequest, 'id'>): Promise<consensusV1.KvResponse__Output> {
    if (this.ended !== undefined) return Promise.reject(new SynodError('unavailable', this.ended));
    if (this.waiting.size >= INFLIGHT_MAX) {
      return Promise.reject(
        new SynodError('overloaded', `${INFLIGHT_MAX} requests to ${this.address} are in flight; back off`),
      );
    }
    return new Promise((resolve, reject) => {
      const id = (this.lastId % ID_MAX) + 1;
      // Throws at what is no request, before anything is remembered of it.
      const bytes = encoded({ id, ...body });
      this.lastId = id;
      this.waiting.set(id, { resolve, reject, idempotent: body.range != null });
      this.outbox.push({ id, bytes });
      if (this.outbox.length === 1) setImmediate(() => this.flush());
    });
  }

  private flush(): void {
    const { outbox } = this;
    this.outbox = [];
    for (let first = 0, next = 0; first < outbox.length; first = next) {
      for (let bytes = 0; next < outbox.length && bytes < BATCH_BYTES_MAX; next++) {
        bytes += outbox[next]?.bytes.length ?? 0;
      }
      const batch = outbox.slice(first, next);
      if (this.stream.send(batch.map(({ bytes }) => bytes))) continue;
      for (const { id } of batch) this.fail(id, 'overloaded', `the queue to ${this.address} is full; back off`);
    }
  }

  private settle(response: consensusV1.KvResponse__Output): void {
    if (response.outcome === 'error') {
      const { code, message, kind } = present(response.error);
      const cause = { code, details: message };
      const told = errorFromWire({ kind, message, hint: '' });
      this.fail(response.id, told.kind, `${this.address}: ${message}`, cause);
      return;
    }
    const waiting = this.waiting.get(response.id);
    this.waiting.delete(response.id);
    waiting?.resolve(response);
  }

  private end(reason: string, cause?: unknown): void {
    if (this.ended !== undefined) return;
    this.ended = reason;
    const unsent = new Set(this.outbox.map(({ id }) => id));
    this.outbox = [];
    for (const [id, { idempotent }] of this.waiting) {
      this.fail(id, unsent.has(id) || idempotent ? 'unavailable' : 'outcome-unknown', reason, cause);
    }
  }

  private fail(id: number, kind: ErrorKind, message: string, cause?: unknown): void {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    waiting?.reject(new SynodError(kind, message, { cause }));
  }
}

function encoded(request: consensusV1.KvRequest): Buffer {
  try {
    return EXCHANGE.requestSerialize({ requests: [request] });
  } catch (cause) {
    throw new SynodError('invalid-argument', `the request cannot be encoded: ${String(cause)}`, { cause });
  }
}

function present<T>(field: T | null | undefined): T {
  if (field == null) throw new SynodError('outcome-unknown', 'the answer is not to what was asked');
  return field;
}
