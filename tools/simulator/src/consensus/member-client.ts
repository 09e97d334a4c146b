import { SynodError, type Random, type Timers } from '@synod/runtime';
import type { Incarnation, World } from '@synod/simulation';
import type { ConsensusNode } from '../../../../apps/consensus/src/node';
import type { CoordinationClient } from '../workload/workload';
import type { Machine } from './machine';

/** Longer than a member itself waits for a leader. */
const PATIENCE_US = 12_000_000;
/** How often a client that waits looks whether the connection still stands. */
const LOOK_US = 500_000;
/** Under way to a member, or back, at most. */
const WAY_US_MAX = 3_000;

/** What it means that no answer comes. */
type Lost = 'unavailable' | 'outcome-unknown';

/**
 * A client of the members, as etcd's are: it asks any of them, and learns nothing if that one dies meanwhile. It stands next to the members:
 * their peers may be out of reach, they are not, so that a member cut off from all others is asked like any.
 */
export class MemberClient implements CoordinationClient {
  readonly coordination: CoordinationClient['coordination'];
  readonly timestamps = { next: () => this.call('unavailable', (node) => node.timestamp()) };

  constructor(
    private readonly world: World,
    private readonly machines: readonly Machine[],
    readonly random: Random,
    readonly timers: Timers,
  ) {
    this.coordination = {
      range: (key, rangeEnd) => this.call('unavailable', (node) => node.coordination.range(key, rangeEnd)),
      transaction: (request) => this.call('outcome-unknown', (node) => node.coordination.transaction(request)),
    };
  }

  /** Does something at a member: at a given one, or at any that has a process. */
  call<T>(lost: Lost, work: (node: ConsensusNode) => Promise<T>, at?: Machine): Promise<T> {
    const machine = at ?? this.any();
    return new Promise((resolve, reject) => {
      const until = this.world.now + PATIENCE_US;
      let asked: Incarnation | undefined;
      const look = (): void => {
        if (this.world.now >= until) reject(new SynodError(lost, 'no answer'));
        else if (asked?.state === 'dead') reject(new SynodError(lost, 'connection lost'));
        else cancel = this.timers.after(LOOK_US, look);
      };
      let cancel = this.timers.after(LOOK_US, look);
      const back = (settle: () => void): void => {
        this.world.after(this.wayUs(), () => {
          cancel();
          settle();
        });
      };
      this.world.after(this.wayUs(), () => {
        const { incarnation, host } = machine?.node ?? {};
        asked = incarnation;
        if (incarnation === undefined || host === undefined) {
          return back(() => reject(new SynodError('unavailable', 'connection refused')));
        }
        incarnation.deliver(() => {
          work(host).then(
            (answer) => back(() => resolve(answer)),
            (error: Error) => back(() => reject(error)),
          );
        });
      });
    });
  }

  /** A machine with a process, paused or not; undefined if all are down. */
  any(): Machine | undefined {
    const up = this.machines.filter(({ node }) => node.host !== undefined);
    return up.length === 0 ? undefined : up[this.random.below(up.length)];
  }

  pause(us: number): Promise<void> {
    return new Promise((resolve) => void this.timers.after(us, resolve));
  }

  private wayUs(): number {
    return 1 + this.random.below(WAY_US_MAX);
  }
}
