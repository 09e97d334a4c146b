import {
  coordinatorProtocol,
  type CoordinatorRequest,
  type CoordinatorResponse,
  type ReadVersion,
  type TxnAttempt,
  type TxnHandle,
  type TxnOutcome,
  type Write,
} from '@synod/protocols';
import { SynodError } from '@synod/runtime';
import type { ClientPorts } from './ports';
import type { Routing } from './routing';
import { Seeker, type Target } from './seeker';

/** What a coordinator says became of an attempt. Final. */
export interface AttemptOutcome {
  readonly outcome: TxnOutcome;
  /** Aborted because of another transaction. */
  readonly conflict: boolean;
  readonly reason: string;
}

/** A coordinator answers a commit within its own time limit, 4 s; one that takes longer is cut off from here. */
const COMMIT_TRY_US = 6_000_000;
const OUTCOME_TRY_US = 3_000_000;

/**
 * Commits through whichever transaction coordinator answers. A commit whose answer was lost is never sent again: `outcome` makes
 * certain what became of it.
 */
export class Committer {
  private readonly seeker: Seeker<CoordinatorRequest, CoordinatorResponse>;
  private readonly coordinators: Target;

  constructor(ports: ClientPorts, routing: Routing) {
    this.seeker = new Seeker<CoordinatorRequest, CoordinatorResponse>(ports, coordinatorProtocol());
    this.coordinators = routing.service('txn-coordinator', ports.random.below(1 << 16));
  }

  /** @throws {SynodError} `outcome-unknown`: it may have committed, ask `outcome`; any other kind: it certainly did not start */
  commit(
    attempt: TxnAttempt,
    reads: readonly ReadVersion[],
    writes: readonly Write[],
    timeoutUs: number,
  ): Promise<AttemptOutcome> {
    const options = { timeoutUs, tryTimeoutUs: COMMIT_TRY_US, resend: false };
    return this.ask({ kind: 'commit', attempt, reads, writes }, options);
  }

  /**
   * What became of an attempt; if nothing was decided, it is decided now, as aborted. Asks one coordinator after the other.
   * @throws {SynodError} `outcome-unknown`, `unavailable` or `overloaded`: nobody could tell in time
   */
  outcome(txn: TxnHandle, attempt: number, timeoutUs: number): Promise<AttemptOutcome> {
    return this.ask({ kind: 'outcome', txn, attempt }, { timeoutUs, tryTimeoutUs: OUTCOME_TRY_US, resend: true });
  }

  close(): void {
    this.seeker.close();
  }

  private async ask(
    request: CoordinatorRequest,
    options: { timeoutUs: number; tryTimeoutUs: number; resend: boolean },
  ): Promise<AttemptOutcome> {
    const answer = await this.seeker.ask(this.coordinators, request, options);
    if (answer.kind === 'outcome') return answer;
    throw new SynodError('outcome-unknown', `a coordinator answered ${request.kind} with ${answer.kind}`);
  }
}
