import { compareBallots, type Ballot } from '@synod/paxos';
import type { Clock, Random } from '@synod/runtime';
import type { GroupId, NodeId } from './api';
import type { HostedGroup } from './hosted-group';
import type { LedGroup } from './peer-messages';

/** Election time-outs that a node may take until it lists a group that it is believed to lead: it has to finish phase 1 first. */
const UNLISTED_TIMEOUTS = 5;

/**
 * Of an election time-out: how long a campaign is put off, at most, once the leader's process is known to have ended. Drawn for each group, so that
 * the groups which it led find leaders on different nodes; and long enough for the others to have seen it too, whose support is needed.
 */
const GONE_SHARE = 1 / 20;

/** What is known of the leader of one group. */
interface LeaderWatch {
  /** The ballot that the leader's node has listed among its led groups: from then on its absence there means something. */
  listed: Ballot | undefined;
  /** Since when the believed leader's node has not listed the group at all. */
  unlistedSinceUs: number | undefined;
  /** When to ask for leadership if nothing is heard until then; monotonic microseconds. */
  suspectAtUs: number;
}

/** The groups that a peer said it leads. */
interface LedList {
  readonly version: number;
  readonly groups: ReadonlyMap<GroupId, Ballot>;
}

/**
 * Suspects leaders: of all groups of a node at once by the silence of a peer, or sooner if its process has ended; of one group by its peer's
 * list of what it leads. A heartbeat proves that a node lives, a listing that it leads (decision 0005).
 */
export class FailureDetector {
  private readonly heardUs = new Map<NodeId, number>();
  private readonly lists = new Map<NodeId, LedList>();
  private readonly watches = new WeakMap<HostedGroup<unknown>, LeaderWatch>();

  constructor(
    private readonly self: NodeId,
    private readonly electionTimeoutUs: number,
    private readonly ports: { readonly clock: Clock; readonly random: Random },
  ) {}

  /** Begins to watch over the leader of a group. @param impatient there is nobody, or no reason, to wait for */
  watch(group: HostedGroup<unknown>, impatient: boolean): void {
    const now = this.ports.clock.monotonicUs();
    const suspectAtUs = impatient ? now : now + this.delayUs();
    this.watches.set(group, { listed: undefined, unlistedSinceUs: undefined, suspectAtUs });
  }

  heard(nodeId: NodeId): void {
    this.heardUs.set(nodeId, this.ports.clock.monotonicUs());
  }

  /** A peer's process has ended: it is believed as if it had been silent for long. */
  gone(nodeId: NodeId): void {
    this.heardUs.delete(nodeId);
  }

  /** The process of a group's leader has ended. @returns after how many microseconds to ask `suspects` again */
  hasten(group: HostedGroup<unknown>): number {
    const delayUs = this.ports.random.below(this.electionTimeoutUs * GONE_SHARE);
    const watch = this.watches.get(group);
    if (watch !== undefined) watch.suspectAtUs = this.ports.clock.monotonicUs() + delayUs;
    return delayUs;
  }

  /** @returns whether a peer has spoken within an election time-out */
  hears(nodeId: NodeId): boolean {
    const heardUs = this.heardUs.get(nodeId) ?? -Infinity;
    return this.ports.clock.monotonicUs() - heardUs < this.electionTimeoutUs;
  }

  /** A conversation began anew: what a peer said in the one before may be of an earlier life. */
  forgetList(nodeId: NodeId): void {
    this.lists.delete(nodeId);
  }

  /** Whether a peer's list is known in that version. */
  holdsList(nodeId: NodeId, version: number): boolean {
    return this.lists.get(nodeId)?.version === version;
  }

  takeList(nodeId: NodeId, version: number, led: readonly LedGroup[]): void {
    this.lists.set(nodeId, { version, groups: new Map(led.map(({ group, ballot }) => [group, ballot])) });
  }

  /** @returns whether the group's replica should ask for leadership now; not again before another delay */
  suspects(group: HostedGroup<unknown>, now: number): boolean {
    const watch = this.watches.get(group);
    if (watch === undefined || group.replica.role === 'leader') return false;
    const leader = group.leaderNode();
    if (leader !== undefined && leader !== this.self) {
      const unlisted = this.unlisted(group, watch, leader, now);
      if (!unlisted && now - (this.heardUs.get(leader) ?? -Infinity) < this.electionTimeoutUs) {
        watch.suspectAtUs = now + this.delayUs() - this.electionTimeoutUs;
        return false;
      }
    }
    if (now < watch.suspectAtUs) return false;
    watch.suspectAtUs = now + this.delayUs();
    watch.unlistedSinceUs = undefined;
    return true;
  }

  /**
   * Whether the believed leader's node, by its own list, no longer leads the group under the believed ballot. One that was removed meanwhile
   * never hears of that: so long as it may take a node to list a leader, it is waited for.
   */
  private unlisted(group: HostedGroup<unknown>, watch: LeaderWatch, leader: NodeId, now: number): boolean {
    const believed = group.replica.leaderBallot;
    if (believed === undefined) return false;
    const listed = this.lists.get(leader)?.groups.get(group.founding.group);
    if (listed !== undefined) watch.unlistedSinceUs = undefined;
    else if (now - (watch.unlistedSinceUs ??= now) > UNLISTED_TIMEOUTS * this.electionTimeoutUs) return true;
    if (listed !== undefined && compareBallots(listed, believed) === 0) {
      watch.listed = believed;
      return false;
    }
    // A leader that has yet to finish phase 1 is not listed: only a listing that ended says something.
    return watch.listed !== undefined && compareBallots(watch.listed, believed) === 0;
  }

  /** Drawn, so that two candidates seldom meet. */
  private delayUs(): number {
    return this.electionTimeoutUs + this.ports.random.below(this.electionTimeoutUs);
  }
}
