import { JobScheduler, type JobId, type JobOutcome, type SchedulerEffect, type SchedulerEvent } from '@synod/mapreduce';
import type { ErrorKind } from '@synod/runtime';
import type { InputPlan, InputSplit } from './input-plan';
import type { JobSpec } from './job-spec';
import type { OutputFolder } from './output-folder';

/** A task that fails by itself this often fails the job. */
const ATTEMPTS_MAX = 4;
/** A map output that cannot be fetched this often fails the job. */
const OUTPUTS_LOST_MAX = 5;

type Stage =
  | { readonly kind: 'planning' }
  | { readonly kind: 'scheduled'; readonly plan: InputPlan; readonly scheduler: JobScheduler }
  /** Ended before there was a plan. */
  | { readonly kind: 'unplanned' };

/** A job of this master, from its submission until it is forgotten. */
export class Job {
  private stage: Stage = { kind: 'planning' };
  private ended:
    { readonly outcome: JobOutcome; readonly failureKind: ErrorKind | ''; readonly atUs: number } | undefined;
  private readonly listeners = new Set<() => void>();

  constructor(
    readonly id: JobId,
    private asked: JobSpec,
    readonly output: OutputFolder,
    /** The pinned snapshot, for input from the store. */
    readonly readTs: bigint | undefined,
    readonly startedUs: number,
  ) {}

  get spec(): JobSpec {
    return this.asked;
  }

  get scheduler(): JobScheduler | undefined {
    return this.stage.kind === 'scheduled' ? this.stage.scheduler : undefined;
  }

  get plan(): InputPlan | undefined {
    return this.stage.kind === 'scheduled' ? this.stage.plan : undefined;
  }

  get outcome(): JobOutcome | undefined {
    return this.ended?.outcome;
  }

  get failureKind(): ErrorKind | '' {
    return this.ended?.failureKind ?? '';
  }

  get partitions(): number {
    return this.spec.partitions ?? this.plan?.partitions ?? 0;
  }

  elapsedUs(nowUs: number): number {
    return (this.ended?.atUs ?? nowUs) - this.startedUs;
  }

  /** The input is known: tasks can be handed out. Does nothing for a job that ended meanwhile. */
  planned(plan: InputPlan): void {
    if (this.stage.kind !== 'planning' || this.ended !== undefined) return;
    const scheduler = new JobScheduler({
      job: this.id,
      splits: plan.splits.length,
      partitions: this.spec.partitions ?? plan.partitions,
      attemptsMax: ATTEMPTS_MAX,
      outputsLostMax: OUTPUTS_LOST_MAX,
    });
    this.stage = { kind: 'scheduled', plan, scheduler };
    this.changed();
  }

  split(index: number): InputSplit | undefined {
    return this.plan?.splits[index];
  }

  /** Tells the scheduler; a job without one, or one that has ended, hears nothing. */
  step(event: SchedulerEvent): readonly SchedulerEffect[] {
    if (this.stage.kind !== 'scheduled') return [];
    const effects = this.stage.scheduler.step(event);
    if (event.kind !== 'offer' || effects.length > 0) this.changed();
    return effects;
  }

  end(outcome: JobOutcome, failureKind: ErrorKind | '', atUs: number): void {
    if (this.ended !== undefined) return;
    if (this.stage.kind === 'planning') this.stage = { kind: 'unplanned' };
    this.dropInput();
    this.ended = { outcome, failureKind, atUs };
    this.changed();
  }

  /** Resolves at the next change, or when nobody waits any more. */
  nextChange(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.listeners.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.listeners.add(done);
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
    });
  }

  /** What only a running job needs: ended ones are remembered by the hundred. */
  private dropInput(): void {
    const { program } = this.asked;
    if (program.kind === 'user') this.asked = { ...this.asked, program: { ...program, bundle: Buffer.alloc(0) } };
    if (this.stage.kind === 'scheduled') this.stage = { ...this.stage, plan: { ...this.stage.plan, splits: [] } };
  }

  private changed(): void {
    for (const listener of [...this.listeners]) listener();
  }
}
