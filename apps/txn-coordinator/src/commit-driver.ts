import { unreachable } from '@synod/invariant';
import type { ReadVersion, ShardId, StorageRequest, StorageResponse, TxnAttempt, Write } from '@synod/protocols';
import { SynodError, type Cancel, type Probes, type Timers } from '@synod/runtime';
import {
  Coordinator,
  type CoordinatorEffect,
  type CoordinatorInput,
  type Reply,
  type Vote,
} from '@synod/two-phase-commit';
import type { CoordinatorOptions } from './options';

/** The shards, as the coordinator uses them: @synod/client's router in production. */
export interface Shards {
  /** @throws {SynodError} */
  request(shard: ShardId, request: StorageRequest, options: { readonly timeoutUs: number }): Promise<StorageResponse>;
}

/** What one shard has to do with an attempt. */
export interface ShardWork {
  readonly reads: readonly ReadVersion[];
  readonly writes: readonly Write[];
}

interface DriverPorts {
  readonly timers: Timers;
  readonly probes: Probes;
  readonly shards: Shards;
}

/**
 * Drives one commit attempt: feeds the `Coordinator` of @synod/two-phase-commit with what shards answer and with time, and does what
 * it says. All decisions are the core's; this is the impure ring around it.
 */
export class CommitDriver {
  /** What the client is told; settles exactly once, long before phase 2 needs to be over. */
  readonly answer: Promise<Reply>;
  private readonly core: Coordinator;
  private resolveAnswer: (reply: Reply) => void = () => undefined;
  private cancels: Cancel[] = [];
  private abandoned = false;

  /** @param finished called when nothing follows any more */
  constructor(
    private readonly ports: DriverPorts,
    private readonly attempt: TxnAttempt,
    private readonly work: ReadonlyMap<ShardId, ShardWork>,
    private readonly options: CoordinatorOptions,
    private readonly finished: () => void,
  ) {
    const participants = [...work.keys()];
    this.core = new Coordinator({ txn: attempt.txn, attempt: attempt.attempt, participants }, options.retriesMax);
    this.answer = new Promise((resolve) => (this.resolveAnswer = resolve));
  }

  start(): void {
    const { prepareUs, replyUs } = this.options;
    const { timers } = this.ports;
    this.cancels = [
      // Once the decision is asked for, only its own time limit counts.
      timers.after(prepareUs, () => this.core.phase === 'preparing' && this.feed({ kind: 'timeout' })),
      timers.after(replyUs, () => this.feed({ kind: 'timeout' })),
    ];
    this.tickLater();
    this.feed({ kind: 'start' });
  }

  /** Stops driving, as a crash would: whoever meets what is left finishes it. */
  abandon(): void {
    this.abandoned = true;
    for (const cancel of this.cancels.splice(0)) cancel();
    this.resolveAnswer({ kind: 'unknown', reason: 'the coordinator stopped' });
  }

  private feed(input: CoordinatorInput): void {
    if (this.abandoned) return;
    for (const effect of this.core.step(input)) this.perform(effect);
  }

  private perform(effect: CoordinatorEffect): void {
    switch (effect.kind) {
      case 'prepare':
      case 'commit-one-phase':
        void this.askForVote(effect.kind, effect.shard);
        return;
      case 'decide':
        void this.decide(effect);
        return;
      case 'reply':
        this.resolveAnswer(effect.reply);
        return;
      case 'resolve':
        void this.resolveAt(effect);
        return;
      case 'finished':
        for (const cancel of this.cancels.splice(0)) cancel();
        this.finished();
        return;
      default:
        unreachable(effect);
    }
  }

  private async askForVote(kind: 'prepare' | 'commit-one-phase', shard: ShardId): Promise<void> {
    const { reads, writes } = this.work.get(shard) ?? { reads: [], writes: [] };
    const request: StorageRequest = { kind, shard, attempt: this.attempt, reads, writes };
    this.feed({ kind: 'voted', shard, vote: await this.vote(shard, request) });
  }

  private async vote(shard: ShardId, request: StorageRequest): Promise<Vote> {
    try {
      const response = await this.ports.shards.request(shard, request, { timeoutUs: this.options.prepareUs });
      return voteOf(shard, response);
    } catch (error) {
      return { kind: 'unreachable', reason: reasonOf(error) };
    }
  }

  private async decide({ proposal, participants }: CoordinatorEffect & { kind: 'decide' }): Promise<void> {
    const { txn } = this.attempt;
    const request: StorageRequest = { kind: 'decide', shard: txn.anchor, txn, proposal, participants };
    this.feed(await this.decision(request));
  }

  private async decision(request: StorageRequest): Promise<CoordinatorInput> {
    try {
      const { anchor } = this.attempt.txn;
      const response = await this.ports.shards.request(anchor, request, { timeoutUs: this.options.phaseTwoUs });
      if (response.kind === 'record' && response.record.state !== 'none') {
        return { kind: 'decided', record: response.record };
      }
      return { kind: 'decide-failed', reason: `the anchor answered with ${response.kind}` };
    } catch (error) {
      this.ports.probes.sometimes('decide-answer-lost');
      return { kind: 'decide-failed', reason: reasonOf(error) };
    }
  }

  private async resolveAt({ shard, outcome }: CoordinatorEffect & { kind: 'resolve' }): Promise<void> {
    const { txn } = this.attempt;
    const request: StorageRequest = { kind: 'resolve', shard, txn, outcome };
    this.feed({ kind: (await this.isResolved(shard, request)) ? 'resolved' : 'resolve-failed', shard });
  }

  private async isResolved(shard: ShardId, request: StorageRequest): Promise<boolean> {
    try {
      const response = await this.ports.shards.request(shard, request, { timeoutUs: this.options.phaseTwoUs });
      return response.kind === 'resolved';
    } catch (error) {
      reasonOf(error);
      return false;
    }
  }

  private tickLater(): void {
    const cancel = this.ports.timers.after(this.options.tickUs, () => {
      this.cancels = this.cancels.filter((other) => other !== cancel);
      this.tickLater();
      this.feed({ kind: 'tick' });
    });
    this.cancels.push(cancel);
  }
}

function voteOf(shard: ShardId, response: StorageResponse): Vote {
  if (response.kind === 'prepared') return { kind: 'yes', prepTs: response.prepTs };
  if (response.kind === 'conflict') return { kind: 'no', reason: response.reason };
  if (response.kind === 'record' && response.record.state !== 'none') {
    return { kind: 'decided', record: response.record };
  }
  return { kind: 'unreachable', reason: `shard ${shard} answered with ${response.kind}` };
}

/** @throws what is not a failure of the world but a bug */
function reasonOf(error: unknown): string {
  if (!(error instanceof SynodError)) throw error;
  return error.message;
}
