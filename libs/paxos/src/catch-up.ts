import type { Instance, ReplicaId } from './ballot';
import type { Membership } from './membership';
import type { ReplicaLimits } from './options';
import type { Outbox } from './outbox';

/** One request in flight: whom it asked, and how many ticks ago. */
interface Asked {
  readonly peer: ReplicaId;
  ticks: number;
}

/**
 * Fetches chosen values from peers, page after page, one request in flight. Any replica that knows them can serve them: what is chosen
 * never changes. One that has forgotten them answers with its truncation index; the request stays open, and another peer is asked at
 * its time, while the host fetches a snapshot.
 */
export class CatchUp {
  /** Highest instance known to be chosen. */
  private wanted: Instance = 0;
  /** Whom to ask next: at first who told of what is missing. */
  private holder: ReplicaId | undefined;
  private asked: Asked | undefined;

  constructor(
    private readonly membership: Pick<Membership, 'current'>,
    private readonly limits: Pick<ReplicaLimits, 'retransmitTicks'>,
    private readonly outbox: Outbox,
  ) {}

  /** `holder` knows every instance up to `through`. */
  want(through: Instance, holder: ReplicaId): void {
    if (through <= this.wanted) return;
    this.wanted = through;
    if (holder !== this.membership.current.self) this.holder = holder;
  }

  lacks(knownThrough: Instance): boolean {
    return knownThrough < this.wanted;
  }

  /** Ends a step: asks for what is missing, unless a request is in flight. */
  ask(knownThrough: Instance): void {
    if (!this.lacks(knownThrough)) {
      this.asked = undefined;
      return;
    }
    const peer = this.holder ?? this.membership.current.others[0];
    if (this.asked !== undefined || peer === undefined) return;
    this.asked = { peer, ticks: 0 };
    this.outbox.sendNow(peer, { kind: 'catch-up', firstInstance: knownThrough + 1 });
  }

  /** A page came. Without progress the next request waits for a tick, so that two replicas cannot keep each other busy. */
  replied(from: ReplicaId, progress: boolean, theirs: Instance, knownThrough: Instance): void {
    if (!progress) return;
    this.asked = undefined;
    this.holder = theirs > knownThrough ? from : this.membership.current.otherAfter(from);
  }

  /** No answer, or one that did not help: another peer may do better. */
  tick(): void {
    if (this.asked === undefined || ++this.asked.ticks < this.limits.retransmitTicks) return;
    this.holder = this.membership.current.otherAfter(this.asked.peer);
    this.asked = undefined;
  }
}
