import type { RpcLimits } from './limits';

/** Where encoded messages go; the callback tells that one has left this process, as far as the other end's window lets it. */
export interface ByteSink {
  write(bytes: Buffer, left: () => void): unknown;
}

/** Counts what was handed to a stream and has not left yet, so that a slow reader fills a bounded queue and not the memory. */
export class OutgoingQueue {
  private messages = 0;
  private bytes = 0;
  private closed = false;
  private waiting: (() => void)[] = [];

  constructor(
    private readonly sink: ByteSink,
    private readonly limits: Pick<RpcLimits, 'queueMessagesMax' | 'queueBytesMax'>,
  ) {}

  get pendingMessages(): number {
    return this.messages;
  }

  get hasRoom(): boolean {
    return !this.closed && this.messages < this.limits.queueMessagesMax && this.bytes < this.limits.queueBytesMax;
  }

  /** @param count messages inside `bytes` */
  push(bytes: Buffer, count: number): void {
    if (this.closed) return;
    this.messages += count;
    this.bytes += bytes.length;
    this.sink.write(bytes, () => {
      this.messages -= count;
      this.bytes -= bytes.length;
      if (this.hasRoom) this.wake();
    });
  }

  /** Resolves when there is room, or the stream is closed. */
  async drained(): Promise<void> {
    if (this.closed || this.hasRoom) return;
    await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  /** Nothing is accepted any more; what was, still leaves. */
  close(): void {
    this.closed = true;
    this.wake();
  }

  private wake(): void {
    const woken = this.waiting;
    this.waiting = [];
    for (const resolve of woken) resolve();
  }
}
