import { serviceDefinition, type etcdserverpb } from '@synod/contracts';
import type { ClientStream, GrpcChannels } from '@synod/rpc';
import type { Cancel, Random, Timers } from '@synod/runtime';
import { byRevision, rangeEndToWire } from './etcd-messages';
import type { EtcdSession } from './etcd-session';
import type { WatchHandler } from './port';

const REDIAL_MIN_US = 50_000;
const REDIAL_SPREAD_US = 200_000;
/** For a member to answer who we are. */
const RENEW_MS = 2_500;

const WATCH = serviceDefinition('etcdserverpb.Watch');

/**
 * One watch over the etcd API, at one member after another, going on after the last revision it heard of. Asks for word of progress,
 * so that a watch of a quiet range is not overtaken by compaction.
 */
export class EtcdWatch {
  private stream: ClientStream<etcdserverpb.WatchRequest> | undefined;
  private cancelRedial: Cancel = () => undefined;
  private ended = false;
  private member: number;
  private nextRevision: bigint;

  constructor(
    private readonly ports: { readonly channels: GrpcChannels; readonly timers: Timers; readonly random: Random },
    private readonly endpoints: readonly string[],
    private readonly session: EtcdSession,
    private readonly range: { readonly key: Buffer; readonly rangeEnd?: Buffer; readonly startRevision: bigint },
    private readonly handler: WatchHandler,
  ) {
    this.member = ports.random.below(endpoints.length);
    this.nextRevision = range.startRevision;
  }

  dial(): void {
    if (this.ended) return;
    const stream = this.ports.channels.openStream(
      this.address,
      WATCH.Watch,
      {
        receive: (response) => {
          if (this.stream === stream && !this.ended) this.receive(response);
        },
        closed: () => {
          if (this.stream === stream) this.redial();
        },
      },
      { idempotent: true, metadata: this.session.metadata },
    );
    this.stream = stream;
    const { key, rangeEnd } = this.range;
    const startRevision = this.nextRevision.toString();
    stream.send({ createRequest: { key, ...rangeEndToWire(rangeEnd), startRevision, progressNotify: true } });
  }

  private get address(): string {
    return this.endpoints[this.member % this.endpoints.length] ?? '';
  }

  cancel(): void {
    this.ended = true;
    this.cancelRedial();
    this.stream?.close();
  }

  private receive(response: etcdserverpb.WatchResponse__Output): void {
    if (response.canceled) return this.cancelled(response);
    for (const [revision, events] of byRevision(response.events)) {
      if (this.ended) return;
      // A member that lags, or repeats itself after a failover, shows what was seen before.
      if (revision < this.nextRevision) continue;
      this.nextRevision = revision + 1n;
      this.handler.events(events, revision);
    }
    const told = BigInt(response.header?.revision ?? 0);
    // Where "from now on" is, or progress: everything up to there was delivered.
    const informs = response.created ? this.nextRevision === 0n : response.events.length === 0;
    if (informs && told >= this.nextRevision) this.nextRevision = told + 1n;
  }

  private cancelled({ compactRevision: compacted, cancelReason }: etcdserverpb.WatchResponse__Output): void {
    this.stream?.close();
    const compactRevision = BigInt(compacted);
    if (compactRevision === 0n) return this.session.mayRenewOver(cancelReason) ? void this.identify() : this.redial();
    this.cancel();
    this.handler.compacted(compactRevision);
  }

  /** Goes on with a new token, at the member that wanted one; with the old one at another if it cannot be had. */
  private async identify(): Promise<void> {
    this.stream = undefined;
    const renewed = this.session.renew(this.address, RENEW_MS);
    // Whether it was or not, the next member will say.
    await renewed.catch(() => undefined);
    this.redial();
  }

  private redial(): void {
    this.stream = undefined;
    this.member++;
    const pauseUs = REDIAL_MIN_US + this.ports.random.below(REDIAL_SPREAD_US);
    this.cancelRedial = this.ports.timers.after(pauseUs, () => this.dial());
  }
}
