import { SynodError } from '@synod/runtime';
import { verdictOf, type Anomaly, type World } from '@synod/simulation';
import { prefixRangeEnd } from '../../../../apps/consensus/src/state/span';
import type { Tally, Workload } from '../workload/workload';
import type { MemberClient } from './member-client';

const PREFIX = Buffer.from('lease/');
/** Clocks run too fast by no more than this, in a thousand: twice what drift the worlds have, and a microsecond's rounding. */
const FAST_PERMILLE = 1;

/** What a holder was promised of its lease. */
interface Promised {
  readonly ttlUs: number;
  /** When the last renewal that was acknowledged was asked for: so long, and the time to live, the lease is there. */
  readonly renewedAt: number;
}

/** A key that lives as long as a lease. */
interface Session extends Promised {
  readonly key: Buffer;
  readonly lease: bigint;
  renewedAt: number;
}

/** Until when a lease is there for certain, by the clock of the world. */
export function certainUntil({ ttlUs, renewedAt }: Promised): number {
  return renewedAt + ttlUs - (ttlUs * FAST_PERMILLE) / 1000;
}

/**
 * Sessions that are kept alive for a while and then left alone: a key on a lease is there as long as its holder was promised, whoever
 * leads, and goes when nobody renews it.
 */
export class Leases implements Workload<MemberClient> {
  readonly name = 'leases';
  readonly clients = 2;
  private readonly sessions = new Map<number, Session>();
  private readonly anomalies: Anomaly[] = [];
  private names = 0;

  constructor(
    private readonly context: { readonly world: World; readonly tally: Tally },
    private readonly ttlSeconds: number,
  ) {}

  async step(host: MemberClient, client: number): Promise<void> {
    const session = this.sessions.get(client);
    try {
      if (session === undefined) await this.begin(host, client);
      else if (host.random.below(12) === 0) this.sessions.delete(client);
      else if (host.random.below(2) === 0) await this.renew(host, client, session);
      else await this.look(host, client, session);
      this.context.tally.acknowledged++;
    } catch (error) {
      if (!(error instanceof SynodError)) throw error;
      this.context.tally.failed++;
    }
  }

  /** What nobody renews goes. */
  async finish(host: MemberClient): Promise<void> {
    this.sessions.clear();
    for (;;) {
      const { entries } = await host.coordination.range(PREFIX, prefixRangeEnd(PREFIX));
      if (entries.length === 0) return;
      await host.pause(500_000);
    }
  }

  check() {
    return [{ name: 'lease-kept', verdict: verdictOf(this.anomalies) }];
  }

  private async begin(host: MemberClient, client: number): Promise<void> {
    const askedAt = this.context.world.now;
    const key = Buffer.from(`lease/${++this.names}`);
    const lease = await host.call('outcome-unknown', (node) => node.coordination.grantLease(this.ttlSeconds));
    const put = { kind: 'put', key, value: key, lease } as const;
    try {
      await host.coordination.transaction({ compare: [], success: [put], failure: [] });
    } catch (error) {
      if (!(error instanceof SynodError) || error.kind !== 'not-found') throw error;
      // The lease is gone before its first key.
      this.expectGone({ key, lease, ttlUs: this.ttlSeconds * 1e6, renewedAt: askedAt });
      return;
    }
    this.sessions.set(client, { key, lease, ttlUs: this.ttlSeconds * 1e6, renewedAt: askedAt });
  }

  private async renew(host: MemberClient, client: number, session: Session): Promise<void> {
    const askedAt = this.context.world.now;
    const seconds = await host.call('unavailable', (node) => node.coordination.keepLeaseAlive(session.lease));
    if (seconds > 0) session.renewedAt = askedAt;
    else this.lost(client, session);
  }

  private async look(host: MemberClient, client: number, session: Session): Promise<void> {
    const { entries } = await host.coordination.range(session.key);
    if (entries.length === 0) this.lost(client, session);
  }

  private lost(client: number, session: Session): void {
    this.sessions.delete(client);
    this.expectGone(session);
  }

  /** It was seen to be gone: legal only if by now it may be. */
  private expectGone(session: Session): void {
    const { now } = this.context.world;
    if (now >= certainUntil(session)) return;
    const { key, ttlUs, renewedAt } = session;
    const detail = `${key.toString()} is gone at ${now}, ${now - renewedAt} µs after it was last promised ${ttlUs}`;
    this.anomalies.push({ name: 'lease-ended-early', detail, operations: [] });
  }
}
