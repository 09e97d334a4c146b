import type { Codec, Connection, ConnectionHandler } from '@synod/runtime';
import type { RpcLimits } from './limits';
import { OutgoingQueue, type ByteSink } from './outgoing-queue';

/** What a connection needs of the gRPC stream below it. */
export interface BatchStream extends ByteSink {
  /** Ends it once all that was written has left. */
  end(): void;
  /** Ends it now, for a reason that the other end is told and that is worth a log line. */
  breakOff(reason: string): void;
  batchSent(messages: number, bytes: number): void;
  batchReceived(messages: number, bytes: number): void;
}

/** One end of a conversation on a gRPC stream: what is sent within one turn of the event loop leaves as one stream message. */
export class BatchConnection<Out, In> implements Connection<Out> {
  private outbox: Out[] = [];
  private open = true;
  private readonly queue: OutgoingQueue;
  private handler: ConnectionHandler<In> | undefined;

  constructor(
    private readonly stream: BatchStream,
    private readonly outgoing: Codec<Out>,
    private readonly incoming: Codec<In>,
    private readonly limits: RpcLimits,
    /** Told of an error of the host's own, which must not look like one of the network. */
    private readonly fault: (error: unknown) => void,
  ) {
    this.queue = new OutgoingQueue(stream, limits);
  }

  /** Who receives. Nothing arrives before. */
  attach(handler: ConnectionHandler<In>): void {
    this.handler = handler;
  }

  send(message: Out): boolean {
    const waiting = this.outbox.length + this.queue.pendingMessages;
    if (!this.open || waiting >= this.limits.queueMessagesMax || !this.queue.hasRoom) return false;
    this.outbox.push(message);
    if (this.outbox.length === 1) setImmediate(() => this.flush());
    return true;
  }

  close(): void {
    if (!this.open) return;
    const rest = this.outbox;
    this.finish();
    if (rest.length > 0) this.guarded(() => this.write(rest));
    this.stream.end();
  }

  /** The stream brought a batch. */
  arrived(bytes: Buffer): void {
    if (!this.open) return;
    let messages: In[];
    try {
      messages = this.incoming.decode(bytes);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.breakOff(`a batch of ${bytes.length} bytes cannot be decoded: ${reason}`);
      return;
    }
    this.stream.batchReceived(messages.length, bytes.length);
    for (const message of messages) {
      if (!this.isOpen) return; // The handler closed it in the midst of the batch.
      this.guarded(() => this.handler?.receive(message));
    }
  }

  /** The stream is over, and not because this end closed it. @param refused nobody listens where it was dialled to */
  ended(reason: string, refused = false): void {
    if (!this.open) return;
    this.finish();
    this.guarded(() => this.handler?.closed(reason, refused));
  }

  private get isOpen(): boolean {
    return this.open;
  }

  private finish(): void {
    this.open = false;
    this.outbox = [];
  }

  private breakOff(reason: string): void {
    this.ended(reason);
    this.stream.breakOff(reason);
  }

  private flush(): void {
    const batch = this.outbox;
    this.outbox = [];
    if (this.open && batch.length > 0) this.guarded(() => this.write(batch));
  }

  /** Halves what is too long: sizes are known only once encoded, and most batches are far below the bound. */
  private write(batch: readonly Out[]): void {
    const encoded = this.outgoing.encode(batch);
    const { batchBytesMax, messageBytesMax } = this.limits;
    if (encoded.length > batchBytesMax && batch.length > 1) {
      const half = batch.length >>> 1;
      this.write(batch.slice(0, half));
      this.write(batch.slice(half));
      return;
    }
    if (encoded.length > messageBytesMax) {
      this.breakOff(`a message of ${encoded.length} bytes exceeds the bound of ${messageBytesMax}`);
      return;
    }
    this.queue.push(asBuffer(encoded), batch.length);
    this.stream.batchSent(batch.length, encoded.length);
  }

  private guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.fault(error);
    }
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
