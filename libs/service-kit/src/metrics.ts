import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { RpcObserver } from '@synod/rpc';

/** What a service tells Prometheus: Node's own figures (event-loop lag among them), its calls, and what the service adds. */
export class Metrics {
  readonly rpc: RpcObserver;
  private readonly registry = new Registry();
  /** Of Node and its process: without labels of ours, as readers of these common names expect (etcdctl is one). */
  private readonly process = new Registry();
  private rendering: Promise<string> | undefined;

  constructor(identity: { readonly service: string; readonly node: string }) {
    this.registry.setDefaultLabels(identity);
    collectDefaultMetrics({ register: this.process });
    const registers = [this.registry];
    const calls = new Counter({
      name: 'synod_rpc_calls_total',
      help: 'Calls that ended, by method and gRPC status.',
      labelNames: ['method', 'code'],
      registers,
    });
    const seconds = new Histogram({
      name: 'synod_rpc_seconds',
      help: 'How long calls took.',
      labelNames: ['method'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    });
    const streams = new Gauge({
      name: 'synod_rpc_streams',
      help: 'Streams open now.',
      labelNames: ['method'],
      registers,
    });
    const batches = new Counter({
      name: 'synod_stream_batches_total',
      help: 'Batches on the streams between nodes, by protocol and direction (sent, received).',
      labelNames: ['method', 'direction'],
      registers,
    });
    const messages = new Counter({
      name: 'synod_stream_messages_total',
      help: 'Messages in those batches.',
      labelNames: ['method', 'direction'],
      registers,
    });
    const bytes = new Counter({
      name: 'synod_stream_bytes_total',
      help: 'Bytes of those batches.',
      labelNames: ['method', 'direction'],
      registers,
    });
    const batch = (direction: string) => (method: string, messageCount: number, byteCount: number) => {
      batches.inc({ method, direction });
      messages.inc({ method, direction }, messageCount);
      bytes.inc({ method, direction }, byteCount);
    };
    // Those of each method and code, found once: looking labels up takes longer than counting.
    const ended = new Map<string, (elapsed: number) => void>();
    const endedBy = (method: string, code: string): ((elapsed: number) => void) => {
      const count = calls.labels(method, code);
      const duration = seconds.labels(method);
      return (elapsed) => {
        count.inc();
        duration.observe(elapsed);
      };
    };
    this.rpc = {
      callEnded: (method, code, elapsed) => {
        const name = `${method} ${code}`;
        let note = ended.get(name);
        if (note === undefined) ended.set(name, (note = endedBy(method, code)));
        note(elapsed);
      },
      streamOpened: (method) => streams.inc({ method }),
      streamClosed: (method) => streams.dec({ method }),
      batchSent: batch('sent'),
      batchReceived: batch('received'),
    };
  }

  /** In the format that `contentType` names. Made once for all who ask while it is made. */
  text(): Promise<string> {
    this.rendering ??= Promise.all([this.process.metrics(), this.registry.metrics()])
      .then((texts) => texts.join('\n'))
      .finally(() => (this.rendering = undefined));
    return this.rendering;
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  /**
   * A figure that is read when Prometheus asks.
   * @param read the value for each set of labels
   */
  gauge<L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    read: () => readonly { readonly labels: Readonly<Record<L, string>>; readonly value: number }[],
  ): void {
    const gauge: Gauge<L> = new Gauge<L>({
      name,
      help,
      labelNames: [...labelNames],
      registers: [this.registry],
      collect: () => {
        gauge.reset();
        for (const { labels, value } of read()) gauge.set(labels as Parameters<typeof gauge.set>[0] & object, value);
      },
    });
  }

  /** A distribution of durations. */
  histogram(name: string, help: string): { observe(seconds: number): void } {
    return new Histogram({
      name,
      help,
      buckets: [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1],
      registers: [this.registry],
    });
  }
}
