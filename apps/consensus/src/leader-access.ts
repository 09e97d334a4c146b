import type { Group, NodeId } from '@synod/replication';
import { SynodError, type Clock, type Random, type Timers } from '@synod/runtime';
import { failure, type LeaderDesk } from './leader-desk';
import { LinkBroken, type LeaderLink } from './leader-link';
import type { LeaderRequest, LeaderResponse } from './leader-requests';
import { EtcdError } from './state/errors';
import type { ApplyResult } from './state/results';

/** How long a request may wait for a leader and its answer: as with etcd, 5 s and two election time-outs. */
export function requestTimeoutUs(electionTimeoutUs: number): number {
  return 5_000_000 + 2 * electionTimeoutUs;
}

const RETRY_MIN_US = 10_000;
const RETRY_SPREAD_US = 20_000;

type ResponseTo<R extends LeaderRequest> = Extract<
  LeaderResponse,
  {
    readonly kind: {
      propose: 'applied';
      barrier: 'barrier';
      'keep-alive': 'kept-alive';
      'time-to-live': 'lease-state';
      'change-members': 'members-changed';
      'report-state': 'state-reported';
    }[R['kind']];
  }
>;

/**
 * Brings a request to the leader, whichever member that is, and tries again while it is certain that nothing was done, or when doing
 * it twice does no harm. A proposal that may have been chosen is never repeated: etcd's clients count on at most once.
 */
export class LeaderAccess {
  constructor(
    private readonly ports: { readonly clock: Clock; readonly timers: Timers; readonly random: Random },
    private readonly self: NodeId,
    private readonly group: Group<ApplyResult>,
    private readonly desk: LeaderDesk,
    private readonly link: LeaderLink,
    private readonly timeoutUs: number,
  ) {}

  /** @throws {EtcdError} */
  async ask<R extends LeaderRequest>(request: R): Promise<ResponseTo<R>> {
    const { clock, random } = this.ports;
    const deadlineUs = clock.monotonicUs() + this.timeoutUs;
    for (;;) {
      const leftUs = deadlineUs - clock.monotonicUs();
      if (leftUs <= 0) throw new EtcdError('timed-out');
      try {
        return (await this.attempt(request, leftUs)) as ResponseTo<R>;
      } catch (error) {
        if (!(error instanceof SynodError)) throw error;
        if (!mayRepeat(request, error)) throw asEtcdError(error);
      }
      await this.pause(RETRY_MIN_US + random.below(RETRY_SPREAD_US));
    }
  }

  /**
   * Proposes commands together, if this member leads.
   * @returns their results; `undefined` if nothing was done, so that each may be asked for by itself
   * @throws {EtcdError} if nobody knows what becomes of them
   */
  async proposeAll(commands: readonly Buffer[]): Promise<readonly ApplyResult[] | undefined> {
    const proposed = await this.within(this.timeoutUs, this.group.proposeAll(commands));
    if (proposed.kind === 'unknown') throw asEtcdError(failure(proposed));
    return proposed.kind === 'applied' ? proposed.result : undefined;
  }

  private attempt(request: LeaderRequest, timeoutUs: number): Promise<LeaderResponse> {
    const { leader } = this.group.status();
    if (leader !== undefined && leader !== this.self) return this.link.ask(leader, request, timeoutUs);
    return this.within(timeoutUs, this.desk.answer(request));
  }

  /** A leader cut off from its majority answers nothing until it steps down. */
  private within<T>(timeoutUs: number, answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.ports.timers.after(timeoutUs, () => reject(new EtcdError('timed-out')));
      answer.then(
        (value) => {
          cancel();
          resolve(value);
        },
        (error: Error) => {
          cancel();
          reject(error);
        },
      );
    });
  }

  private pause(us: number): Promise<void> {
    return new Promise((resolve) => this.ports.timers.after(us, resolve));
  }
}

function mayRepeat(request: LeaderRequest, error: SynodError): boolean {
  switch (error.kind) {
    case 'not-leader':
    case 'unavailable':
      return true;
    case 'outcome-unknown':
      return request.kind !== 'propose' && request.kind !== 'change-members';
    default:
      return false;
  }
}

function asEtcdError(error: SynodError): EtcdError {
  if (error instanceof LinkBroken) return new EtcdError('timed-out-connection-lost');
  return new EtcdError(error.kind === 'overloaded' ? 'too-many-requests' : 'timed-out-leader-failed');
}
