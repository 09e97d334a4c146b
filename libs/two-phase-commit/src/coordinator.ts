import { fateOf, type Decision } from './decision';
import type { ShardId, Timestamp, TxnHandle } from './words';

/** A participant's answer to `prepare` or `commit-one-phase`. */
export type Vote =
  /** Durable: it can no longer abort alone. */
  | { readonly kind: 'yes'; readonly prepTs: Timestamp }
  /** Because of another transaction. Nothing of the attempt remains there. */
  | { readonly kind: 'no'; readonly reason: string }
  /** The transaction is decided already: by recovery, by another coordinator of the same attempt, or just now in one phase. */
  | { readonly kind: 'decided'; readonly record: Decision }
  /** No answer: it may hold intents or, in one phase, even have committed. */
  | { readonly kind: 'unreachable'; readonly reason: string };

export type CoordinatorInput =
  | { readonly kind: 'start' }
  | { readonly kind: 'voted'; readonly shard: ShardId; readonly vote: Vote }
  /** The anchor's answer to `decide`: the record as it stands. */
  | { readonly kind: 'decided'; readonly record: Decision }
  /** `decide` got no answer: it may have taken effect. */
  | { readonly kind: 'decide-failed'; readonly reason: string }
  | { readonly kind: 'resolved'; readonly shard: ShardId }
  | { readonly kind: 'resolve-failed'; readonly shard: ShardId }
  /** The client waits no longer. The first stops the vote, the second gives up waiting for the record too. */
  | { readonly kind: 'timeout' }
  /** Time for what failed to be sent again; how far apart is the host's choice. */
  | { readonly kind: 'tick' };

export type Reply =
  /** Final. `conflict`: aborted because of another transaction, worth another attempt. */
  | { readonly kind: 'outcome'; readonly outcome: Decision; readonly conflict: boolean; readonly reason: string }
  /** A decision was asked for and its answer is lost. Never reported as aborted. */
  | { readonly kind: 'unknown'; readonly reason: string };

export type CoordinatorEffect =
  /** Phase 1 at one shard. */
  | { readonly kind: 'prepare'; readonly shard: ShardId }
  | { readonly kind: 'commit-one-phase'; readonly shard: ShardId }
  /** Compare-and-set of the record at the anchor. */
  | { readonly kind: 'decide'; readonly proposal: Decision; readonly participants: readonly ShardId[] }
  /** Exactly one per attempt. */
  | { readonly kind: 'reply'; readonly reply: Reply }
  /** Phase 2 at one shard. */
  | { readonly kind: 'resolve'; readonly shard: ShardId; readonly outcome: Decision }
  /** Nothing follows: the host may forget this coordinator. */
  | { readonly kind: 'finished' };

/** The attempt that a coordinator drives. */
export interface CommitAttempt {
  readonly txn: TxnHandle;
  readonly attempt: number;
  /** Every shard that the attempt read or wrote, each once. */
  readonly participants: readonly ShardId[];
}

type State =
  | { readonly phase: 'idle' }
  | { readonly phase: 'preparing'; readonly votes: Map<ShardId, Timestamp> }
  | { readonly phase: 'deciding'; readonly proposal: Decision; readonly cause: Cause; readonly failed: boolean }
  | {
      readonly phase: 'resolving';
      readonly outcome: Decision;
      readonly waiting: Set<ShardId>;
      readonly failed: Set<ShardId>;
    }
  | { readonly phase: 'finished' };

/** Why the attempt aborts, if it does. */
interface Cause {
  readonly conflict: boolean;
  readonly reason: string;
}

/** If the record turns out to be aborted though every vote was yes: somebody took this coordinator for dead. */
const OVERTAKEN: Cause = {
  conflict: true,
  reason: 'another transaction met its intents, took it for abandoned and aborted it',
};

/**
 * The coordinator of one commit attempt: classic two-phase commit (Gray, "Notes on Data Base Operating Systems", 1978) with presumed
 * abort (Mohan, Lindsay & Obermarck, TODS 1986).
 * Differs from the paper: the decision is not this coordinator's to log, but a compare-and-set of a replicated record at the anchor
 * shard. So any number of coordinators may drive the same attempt, each may die at any point, and a shard that stays in doubt asks
 * the record, not the coordinator. The client hears what the record says, nothing else.
 */
export class Coordinator {
  private state: State = { phase: 'idle' };
  /** Voted no: nothing of the attempt is there, so nothing is resolved there. */
  private readonly without = new Set<ShardId>();
  private replied = false;
  private retries = 0;

  /** @param retriesMax resends of `decide` and rounds of resends of `resolve`, each; recovery finishes what is left after that */
  constructor(
    private readonly work: CommitAttempt,
    private readonly retriesMax: number,
  ) {}

  get phase(): State['phase'] {
    return this.state.phase;
  }

  step(input: CoordinatorInput): readonly CoordinatorEffect[] {
    switch (input.kind) {
      case 'start':
        return this.start();
      case 'voted':
        return this.voted(input.shard, input.vote);
      case 'decided':
        return this.decided(input.record);
      case 'decide-failed':
        return this.decideFailed(input.reason);
      case 'resolved':
        return this.resolved(input.shard);
      case 'resolve-failed':
        return this.resolveFailed(input.shard);
      case 'timeout':
        return this.timeout();
      case 'tick':
        return this.tick();
    }
  }

  private start(): CoordinatorEffect[] {
    if (this.state.phase !== 'idle') return [];
    this.state = { phase: 'preparing', votes: new Map() };
    const kind = this.onePhase ? 'commit-one-phase' : 'prepare';
    return this.work.participants.map((shard) => ({ kind, shard }));
  }

  /** The anchor alone: it votes and decides in one log entry. */
  private get onePhase(): boolean {
    const { participants, txn } = this.work;
    return participants.length === 1 && participants[0] === txn.anchor;
  }

  private voted(shard: ShardId, vote: Vote): CoordinatorEffect[] {
    if (this.state.phase !== 'preparing') return []; // The others' no was enough, or time ran out.
    switch (vote.kind) {
      case 'yes':
        this.state.votes.set(shard, vote.prepTs);
        return this.count(this.state.votes);
      case 'no':
        this.without.add(shard);
        return this.abort({ conflict: true, reason: vote.reason });
      case 'unreachable':
        // Not even in one phase is this an abort by itself: only the record can tell.
        return this.abort({ conflict: false, reason: vote.reason });
      case 'decided':
        return this.finish(vote.record, OVERTAKEN);
    }
  }

  private count(votes: ReadonlyMap<ShardId, Timestamp>): CoordinatorEffect[] {
    const { participants, attempt } = this.work;
    if (!participants.every((shard) => votes.has(shard))) return []; // Invariant `commit-needs-every-vote`.
    const commitTs = [...votes.values()].reduce((a, b) => (a > b ? a : b)); // Invariant `commit-ts-is-max-prep-ts`.
    return this.decide({ state: 'committed', attempt, commitTs }, OVERTAKEN);
  }

  private abort(cause: Cause): CoordinatorEffect[] {
    return this.decide({ state: 'aborted', attempt: this.work.attempt }, cause);
  }

  /** Even an abort is proposed: another coordinator of this attempt may have every vote, and then it committed. */
  private decide(proposal: Decision, cause: Cause): CoordinatorEffect[] {
    this.state = { phase: 'deciding', proposal, cause, failed: false };
    return [{ kind: 'decide', proposal, participants: this.work.participants }];
  }

  private decided(record: Decision): CoordinatorEffect[] {
    if (this.state.phase !== 'deciding') return [];
    return this.finish(record, this.state.cause);
  }

  /** The record is known: tell the client, then everybody who voted or may hold something. */
  private finish(outcome: Decision, cause: Cause): CoordinatorEffect[] {
    if (fateOf(this.work.attempt, outcome) === 'undecided') return []; // About an attempt before this one.
    const effects = this.reply({ kind: 'outcome', outcome, ...causeOf(outcome, cause) });
    const holders = this.onePhase ? [] : this.work.participants.filter((shard) => !this.without.has(shard));
    this.retries = 0;
    this.state = { phase: 'resolving', outcome, waiting: new Set(holders), failed: new Set() };
    for (const shard of holders) effects.push({ kind: 'resolve', shard, outcome });
    return holders.length === 0 ? [...effects, ...this.end()] : effects;
  }

  private decideFailed(reason: string): CoordinatorEffect[] {
    if (this.state.phase !== 'deciding') return [];
    this.retries++;
    if (this.retries <= this.retriesMax) {
      this.state = { ...this.state, failed: true };
      return [];
    }
    return [...this.reply({ kind: 'unknown', reason }), ...this.end()];
  }

  private resolved(shard: ShardId): CoordinatorEffect[] {
    if (this.state.phase !== 'resolving') return [];
    this.state.waiting.delete(shard);
    this.state.failed.delete(shard);
    return this.state.waiting.size > 0 ? [] : this.end();
  }

  private resolveFailed(shard: ShardId): CoordinatorEffect[] {
    if (this.state.phase === 'resolving' && this.state.waiting.has(shard)) this.state.failed.add(shard);
    return [];
  }

  private timeout(): CoordinatorEffect[] {
    switch (this.state.phase) {
      case 'preparing':
        return this.abort({ conflict: false, reason: 'the participants did not all vote in time' });
      case 'deciding':
        // Unknown, and going on: whoever asks later, or the next tick, may still learn it.
        return this.reply({ kind: 'unknown', reason: 'the decision was asked for, its answer did not come in time' });
      case 'idle':
      case 'resolving':
      case 'finished':
        return [];
    }
  }

  private tick(): CoordinatorEffect[] {
    switch (this.state.phase) {
      case 'deciding': {
        if (!this.state.failed) return [];
        this.state = { ...this.state, failed: false };
        return [{ kind: 'decide', proposal: this.state.proposal, participants: this.work.participants }];
      }
      case 'resolving':
        return this.resolveAgain(this.state);
      case 'idle':
      case 'preparing':
      case 'finished':
        return [];
    }
  }

  private resolveAgain(state: State & { phase: 'resolving' }): CoordinatorEffect[] {
    if (state.failed.size === 0) return [];
    this.retries++;
    if (this.retries > this.retriesMax) return this.end();
    const again = [...state.failed];
    state.failed.clear();
    return again.map((shard) => ({ kind: 'resolve', shard, outcome: state.outcome }));
  }

  private end(): CoordinatorEffect[] {
    this.state = { phase: 'finished' };
    return [{ kind: 'finished' }];
  }

  private reply(reply: Reply): CoordinatorEffect[] {
    if (this.replied) return [];
    this.replied = true;
    return [{ kind: 'reply', reply }];
  }
}

function causeOf(outcome: Decision, cause: Cause): Cause {
  return outcome.state === 'committed' ? { conflict: false, reason: '' } : cause;
}
