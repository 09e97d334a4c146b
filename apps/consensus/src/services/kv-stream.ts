import type { consensusV1 } from '@synod/contracts';
import { invariant } from '@synod/invariant';
import { failureOf, type CallContext, type ResponseWriter, type ServiceHandlers } from '@synod/rpc';
import { VALUE_BYTES_MAX } from '@synod/replication';
import { SynodError } from '@synod/runtime';
import { EtcdError } from '../state/errors';
import { bytesOf } from './kv-answer-bytes';
import type { PutAll } from './put-all';
import { asStatus } from './member';

/** Requests in progress at once, over all streams; one more is refused as too many. As many as of the timestamp oracle. */
const INFLIGHT_MAX = 16_384;
/** Requests of one stream in progress, or answered and not sent: then it is not read on. It bounds what an idle reader costs. */
const STREAM_INFLIGHT_MAX = 4_096;
/** Of keys and values in one message of answers: the clients of some languages take no message above 4 MiB. */
const MESSAGE_BYTES_MAX = 1024 * 1024;
/** Of a command besides its key and its value, at most. */
const PUT_OVERHEAD_BYTES = 64;

type KvHandlers = Required<ServiceHandlers<'etcdserverpb.KV'>>;
type Request = consensusV1.KvRequest__Output;
type PutRequest = Request & { readonly put: NonNullable<Request['put']> };
type Response = consensusV1.KvResponse;
type Batches = AsyncIterable<consensusV1.KvStreamExchangeRequest__Output>;
type Writer = ResponseWriter<consensusV1.KvStreamExchangeResponse>;

/** How many requests this member has in progress for all its streams. */
interface Load {
  inProgress: number;
}

/**
 * @param kv the handlers of the calls, with all that stands before them: a request of a stream is nothing else
 * @param putAll the same for the puts of one message, which nearly all requests are where there are many
 */
export function kvStreamService(kv: KvHandlers, putAll: PutAll): ServiceHandlers<'synod.consensus.v1.KvStream'> {
  const load: Load = { inProgress: 0 };
  return {
    Exchange: (batches, responses, context) => new KvExchange(kv, putAll, load, responses, context).serve(batches),
  };
}

/** One stream: requests go to the handlers as they come, and what one turn of the event loop answered leaves as one message. */
class KvExchange {
  /** In progress, or answered and not sent. Invariant `stream-inflight-bounded`: never above STREAM_INFLIGHT_MAX. */
  private unsent = 0;
  private answered: Response[] = [];
  /** Of the message being read, to be begun together. */
  private puts: PutRequest[] = [];
  private putBytes = 0;
  private sending = false;
  private wake = (): void => undefined;
  /** A bug of ours that a request met: the stream ends with it at once, so that it is logged and answered like that of any call. */
  private readonly faulted: Promise<never>;
  private fault!: (error: unknown) => void;

  constructor(
    private readonly kv: KvHandlers,
    private readonly putAll: PutAll,
    private readonly load: Load,
    private readonly responses: Writer,
    private readonly context: CallContext,
  ) {
    this.faulted = new Promise((_, reject) => (this.fault = reject));
  }

  /** Resolves when the client has ended its side and has every answer. */
  serve(batches: Batches): Promise<void> {
    return Promise.race([this.read(batches), this.faulted]);
  }

  private async read(batches: Batches): Promise<void> {
    for await (const { requests } of batches) {
      for (const request of requests) {
        while (this.unsent >= STREAM_INFLIGHT_MAX) {
          this.startPuts();
          await this.progress();
        }
        // Nobody would hear what came of it.
        if (this.context.aborted) return;
        this.start(request);
      }
      this.startPuts();
    }
    while (this.unsent > 0) await this.progress();
  }

  /** Until something was sent. */
  private progress(): Promise<void> {
    return new Promise((resolve) => (this.wake = resolve));
  }

  private start(request: Request): void {
    this.unsent++;
    invariant(this.unsent <= STREAM_INFLIGHT_MAX, 'stream-inflight-bounded');
    if (this.load.inProgress >= INFLIGHT_MAX) return this.fail(request, asStatus(new EtcdError('too-many-requests')));
    this.load.inProgress++;
    if (isPut(request)) return this.gather(request);
    this.answer(request).then(
      (response) => {
        this.load.inProgress--;
        this.settle(response);
      },
      (error: unknown) => {
        this.load.inProgress--;
        this.fail(request, error);
      },
    );
  }

  private gather(request: PutRequest): void {
    const bytes = request.put.key.length + request.put.value.length + PUT_OVERHEAD_BYTES;
    if (this.putBytes + bytes > VALUE_BYTES_MAX) this.startPuts();
    this.puts.push(request);
    this.putBytes += bytes;
  }

  private startPuts(): void {
    const { puts } = this;
    if (puts.length === 0) return;
    this.puts = [];
    this.putBytes = 0;
    const messages = puts.map(({ put }) => put);
    this.putAll(messages, this.context).then(
      (outcomes) => {
        this.load.inProgress -= puts.length;
        puts.forEach((request, index) => {
          const outcome = outcomes[index];
          if (outcome instanceof Error || outcome === undefined) this.fail(request, outcome);
          else this.settle({ id: request.id, put: outcome });
        });
      },
      (error: unknown) => {
        this.load.inProgress -= puts.length;
        for (const request of puts) this.fail(request, error);
      },
    );
  }

  private async answer(request: Request): Promise<Response> {
    const { kv, context } = this;
    const { id, body, deleteRange, range, txn } = request;
    if (body === 'range' && range != null) return { id, range: await kv.Range(range, context) };
    if (body === 'txn' && txn != null) return { id, txn: await kv.Txn(txn, context) };
    if (body === 'deleteRange' && deleteRange != null)
      return { id, deleteRange: await kv.DeleteRange(deleteRange, context) };
    throw new SynodError('unimplemented', `request ${id} is of no kind that this release knows`);
  }

  private fail(request: Request, error: unknown): void {
    const failure = failureOf(error, { idempotent: request.body === 'range' });
    if (failure === undefined) return this.fault(error);
    const { code, details, kind } = failure;
    this.settle({ id: request.id, error: { code, message: details, kind } });
  }

  private settle(response: Response): void {
    this.answered.push(response);
    if (this.sending) return;
    this.sending = true;
    setImmediate(() => void this.send());
  }

  private async send(): Promise<void> {
    const { responses, context } = this;
    try {
      while (this.answered.length > 0) {
        const batch = this.nextBatch();
        while (!context.aborted && !responses.send({ responses: batch })) await responses.drained();
        this.unsent -= batch.length;
        this.wake();
      }
    } catch (error) {
      this.fault(error);
    }
    this.sending = false;
  }

  /** What is answered, up to the size of a message: always one answer at least. */
  private nextBatch(): Response[] {
    const { answered } = this;
    let count = 0;
    let bytes = 0;
    for (const response of answered) {
      bytes += bytesOf(response);
      if (count > 0 && bytes > MESSAGE_BYTES_MAX) break;
      count++;
    }
    this.answered = answered.slice(count);
    return answered.slice(0, count);
  }
}

/** The name of the member and the member itself: of two that a sender set, the last one counts. */
function isPut(request: Request): request is PutRequest {
  return request.body === 'put' && request.put != null;
}
