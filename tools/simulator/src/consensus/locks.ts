import { SynodError } from '@synod/runtime';
import { verdictOf, type World } from '@synod/simulation';
import { EtcdError } from '../../../../apps/consensus/src/state/errors';
import { PlaceLost, Succession, type Place } from '../../../../apps/consensus/src/succession';
import type { Tally, Workload } from '../workload/workload';
import { FencedResource, type Claim } from './fenced-resource';
import { certainUntil } from './leases';
import type { MemberClient } from './member-client';

const QUEUE = Buffer.from('lock/');
const EMPTY = Buffer.alloc(0);

/** A wish to own: it waits in the queue until its turn comes, its owner gives up, or its place is gone. */
interface Bid {
  readonly name: string;
  readonly giveUp: AbortController;
  /** Once it is granted. */
  granted: { readonly place: Place; readonly token: bigint } | undefined;
  /** Nothing is to be hoped of it any more. */
  over: boolean;
}

interface Session {
  readonly lease: bigint;
  readonly ttlUs: number;
  /** When the last renewal that was acknowledged was asked for. */
  renewedAt: number;
  bid: Bid | undefined;
}

/**
 * Clients that wait for one another in a queue, as those of locks and elections do: who owns uses what is protected, with its fencing token and
 * by writes on the condition that it owns; others lose patience, are slow to renew their leases, or are never heard of again.
 */
export class Locks implements Workload<MemberClient> {
  readonly name = 'locks';
  readonly clients = 3;
  private readonly resource = new FencedResource();
  private readonly sessions = new Map<number, Session>();
  private bids = 0;

  constructor(
    private readonly context: { readonly world: World; readonly tally: Tally },
    private readonly ttlSeconds: number,
  ) {}

  async step(host: MemberClient, client: number): Promise<void> {
    const session = this.sessions.get(client);
    try {
      if (session === undefined) await this.begin(host, client);
      else await this.live(host, client, session);
      this.context.tally.acknowledged++;
    } catch (error) {
      mustBeBorne(error);
      this.context.tally.failed++;
    }
  }

  check() {
    return [{ name: 'lock-is-exclusive', verdict: verdictOf(this.resource.anomalies) }];
  }

  private async begin(host: MemberClient, client: number): Promise<void> {
    const renewedAt = this.context.world.now;
    const lease = await host.call('outcome-unknown', (node) => node.coordination.grantLease(this.ttlSeconds));
    this.sessions.set(client, { lease, ttlUs: this.ttlSeconds * 1e6, renewedAt, bid: undefined });
  }

  private async live(host: MemberClient, client: number, session: Session): Promise<void> {
    const { bid } = session;
    const chance = host.random.below(12);
    // Whoever waits behind it has to wait for its lease to end.
    if (chance === 0) return this.leave(client);
    if (bid === undefined || bid.over) return this.bid(host, client, session);
    if (bid.granted === undefined) {
      if (chance === 1) return bid.giveUp.abort(new SynodError('unavailable', 'the client has lost patience'));
      return this.renew(host, client, session);
    }
    if (chance < 5) return this.use(host, client, session, bid);
    if (chance < 8) return this.release(host, client, session, bid.granted.place);
    return this.renew(host, client, session);
  }

  private leave(client: number): void {
    this.sessions.get(client)?.bid?.giveUp.abort(new SynodError('unavailable', 'the client has gone'));
    this.sessions.delete(client);
  }

  private async renew(host: MemberClient, client: number, session: Session): Promise<void> {
    const askedAt = this.context.world.now;
    const seconds = await host.call('unavailable', (node) => node.coordination.keepLeaseAlive(session.lease));
    if (seconds > 0) session.renewedAt = askedAt;
    else this.leave(client);
  }

  /** Waits in the background: its session has to be kept alive meanwhile. */
  private bid(host: MemberClient, client: number, session: Session): void {
    const bid: Bid = {
      name: `bid ${++this.bids}`,
      giveUp: new AbortController(),
      granted: undefined,
      over: false,
    };
    session.bid = bid;
    this.waitForTurn(host, session, bid).catch((error: unknown) => {
      bid.over = true;
      // What became of its place is not known: it may be given up yet, also under the next bid of its lease.
      if (this.sessions.get(client) === session) this.sessions.delete(client);
      try {
        mustBeBorne(error);
      } catch (fault) {
        this.context.world.fail(fault);
      }
    });
  }

  private async waitForTurn(host: MemberClient, session: Session, bid: Bid): Promise<void> {
    const { signal } = bid.giveUp;
    const granted = await host.call('outcome-unknown', async ({ host: member }) => {
      const queue = new Succession(member, QUEUE, 'client');
      const place = await queue.enlist(session.lease, EMPTY);
      try {
        return { place, token: await queue.waitForTurn(place, signal) };
      } catch (error) {
        await queue.leave(place);
        throw error;
      }
    });
    if (signal.aborted) throw signal.reason;
    bid.granted = granted;
    this.resource.use(this.claim(session, bid, granted.token));
    this.context.world.probes.sometimes('lock-granted');
  }

  /** Outside of the store with its token, and inside on the condition that its place is still there. */
  private async use(host: MemberClient, client: number, session: Session, bid: Bid): Promise<void> {
    const { granted } = bid;
    if (granted === undefined) return;
    this.resource.use(this.claim(session, bid, granted.token));
    const { key, createRevision } = granted.place;
    const { succeeded } = await host.coordination.transaction({
      compare: [{ key, target: 'create-revision', equals: createRevision }],
      success: [{ kind: 'put', key: Buffer.from('locked'), value: Buffer.from(bid.name) }],
      failure: [],
    });
    if (succeeded) return;
    this.resource.deposed(this.claim(session, bid, granted.token));
    this.leave(client);
  }

  private async release(host: MemberClient, client: number, session: Session, place: Place): Promise<void> {
    // From now on it may be another's.
    session.bid = undefined;
    try {
      await host.call('outcome-unknown', ({ host: member }) => new Succession(member, QUEUE, 'client').leave(place));
    } catch (error) {
      // It may take effect yet, also under the next bid of this lease, which would find the same place.
      this.leave(client);
      throw error;
    }
  }

  private claim(session: Session, { name }: Bid, token: bigint): Claim {
    return { owner: name, token, certain: this.context.world.now < certainUntil(session) };
  }
}

/** Whatever may become of a request in a world like this. */
function mustBeBorne(error: unknown): void {
  if (error instanceof SynodError || error instanceof EtcdError || error instanceof PlaceLost) return;
  throw error;
}
