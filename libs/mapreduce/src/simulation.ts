import { invariant } from '@synod/invariant';
import type { JobOutcome, SchedulerEffect, SchedulerEvent } from './events';
import type { AttemptId, WorkerId } from './ids';
import { JobScheduler } from './scheduler';
import { outputLines, SimulatedInput, type PartitionCounts } from './simulated-input';
import { SimulatedTime } from './simulated-time';

/** What one seed did. */
export interface SimulatedJob {
  readonly seed: number;
  readonly outcome: JobOutcome;
  readonly steps: number;
  /** Of everything the master heard and ordered, in order: two runs of a seed give the same. */
  readonly digest: number;
  /** How often each rare state was reached. */
  readonly reached: ReadonlyMap<string, number>;
}

/** How long faults go on, in virtual microseconds; after that the job must end. */
const HEAL_US = 400_000;
const STEPS_MAX = 200_000;
const FETCH_TRIES = 3;
/** What a slow machine takes for a task, at most. */
const STRAGGLER_US = 80_000;

/** A worker process, with at most one session that the master still believes in. */
interface Worker {
  alive: boolean;
  session: WorkerId | undefined;
  /** Changes when the process dies or starts anew with a session: late callbacks of an earlier life do nothing. */
  life: number;
  readonly slots: number;
  readonly outputs: Map<AttemptId, PartitionCounts>;
  readonly stopped: Set<AttemptId>;
}

/** How much of each evil a seed suffers, per 1,000: lopsided, so that some seeds meet one kind only. */
interface FaultMix {
  readonly crash: number;
  readonly breakSession: number;
  readonly loseOutput: number;
  readonly failAttempt: number;
  readonly repeat: number;
}

/**
 * Runs one job on virtual time: the scheduler as its master, workers that die, vanish for a while and come back, lose finished map
 * outputs, and speak late or twice. Checks at each step what the scheduler must never do, and at the end that what became visible
 * is what a sequential run gives.
 * @throws {InvariantViolation} naming what was broken; the same for the same seed
 */
export function simulateJob(seed: number): SimulatedJob {
  return new JobSimulation(seed).run();
}

class JobSimulation {
  private readonly time: SimulatedTime;
  private readonly input: SimulatedInput;
  private readonly scheduler: JobScheduler;
  private readonly workers: Worker[];
  private readonly faults: FaultMix;
  /** Free slots by session, as the master knows them. */
  private readonly free = new Map<WorkerId, number>();
  private readonly assigned = new Map<AttemptId, WorkerId>();
  private readonly doneReduces = new Set<number>();
  private readonly failures = new Map<string, number>();
  /** The shared file system: what reduce attempts wrote, before and after the job's commit. */
  private readonly staging = new Map<AttemptId, readonly string[]>();
  private visible: readonly string[] | undefined;
  private outcome: JobOutcome | undefined;
  private sessions = 0;
  private digest = 0x811c9dc5;
  private readonly reached = new Map<string, number>();

  constructor(private readonly seed: number) {
    const time = new SimulatedTime(seed);
    this.time = time;
    this.input = new SimulatedInput(time, 1 + time.below(4));
    this.scheduler = new JobScheduler({
      job: 'sim',
      splits: this.input.splits.length,
      partitions: this.input.partitions,
      attemptsMax: 4,
      outputsLostMax: 1_000,
      isLocal: (split, worker) => (split + worker.length) % 3 === 0,
    });
    const rate = (most: number): number => (time.chance(500) ? 0 : time.below(most));
    this.faults = {
      crash: rate(300),
      breakSession: rate(300),
      loseOutput: rate(500),
      failAttempt: rate(200),
      repeat: rate(300),
    };
    this.workers = Array.from({ length: 2 + time.below(4) }, () => ({
      alive: true,
      session: undefined,
      life: 0,
      slots: 1 + time.below(2),
      outputs: new Map(),
      stopped: new Set(),
    }));
  }

  run(): SimulatedJob {
    for (const worker of this.workers) this.time.after(this.time.below(20_000), () => this.connect(worker));
    this.time.after(1_000, () => this.fault());
    if (this.time.chance(60)) {
      this.time.after(this.time.below(HEAL_US), () => this.deliver({ kind: 'cancel', reason: 'the user asked' }));
    }
    while (this.time.step()) invariant(this.time.steps < STEPS_MAX, 'a-healed-job-ends', () => `seed ${this.seed}`);
    const outcome = this.outcome;
    invariant(outcome !== undefined, 'a-healed-job-ends', () => `seed ${this.seed}`);
    this.checkOutcome(outcome);
    return { seed: this.seed, outcome, steps: this.time.steps, digest: this.digest, reached: this.reached };
  }

  private checkOutcome(outcome: JobOutcome): void {
    this.reach(outcome.kind);
    invariant(outcome.kind !== 'failed', 'bounded-faults-do-not-fail-a-job', () => JSON.stringify(outcome));
    const expected = outcome.kind === 'succeeded' ? this.input.sequential() : undefined;
    invariant(
      JSON.stringify(this.visible) === JSON.stringify(expected),
      'output-equals-sequential',
      () => `seed ${this.seed}: ${JSON.stringify(this.visible)} instead of ${JSON.stringify(expected)}`,
    );
    if (expected === undefined) return;
    const words = expected.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf('\t') + 1)), 0);
    const counted = this.scheduler.counters()['words'] ?? 0;
    invariant(counted === words, 'counters-of-committed-attempts-only', () => `${counted} words instead of ${words}`);
  }

  // The master.

  /** Hears an event, obeys the effects, then offers what is free. */
  private deliver(event: SchedulerEvent): void {
    this.trace(event);
    for (const effect of this.scheduler.step(event)) this.obey(effect);
    for (const [worker, slots] of this.free) {
      if (slots === 0 || !this.scheduler.hasWork) continue;
      for (const effect of this.scheduler.step({ kind: 'offer', worker, slots })) this.obey(effect);
    }
  }

  private obey(effect: SchedulerEffect): void {
    this.trace(effect);
    switch (effect.kind) {
      case 'assign-map':
        return this.assign(effect.worker, effect.attempt, (worker) =>
          this.runMap(worker, effect.attempt, effect.split),
        );
      case 'assign-reduce':
        this.checkSources(effect);
        return this.assign(effect.worker, effect.attempt, (worker) => this.runReduce(worker, effect));
      case 'stop':
        return this.toWorker(effect.worker, (worker) => {
          worker.stopped.add(effect.attempt);
          this.freeSlot(effect.worker);
        });
      case 'discard':
        this.reach('superseded-attempt-discarded');
        return this.toWorker(effect.worker, (worker) => void worker.outputs.delete(effect.attempt));
      case 'commit-output':
        invariant(new Set(effect.parts).size === this.input.partitions, 'one-committed-attempt-per-task');
        this.visible = effect.parts.flatMap((part) => this.staging.get(part) ?? ['a part without a file']).sort();
        return this.time.after(this.time.below(2_000), () => this.deliver({ kind: 'output-committed' }));
      case 'finished':
        invariant(this.outcome === undefined, 'a-job-ends-once');
        this.outcome = effect.outcome;
    }
  }

  private assign(session: WorkerId, attempt: AttemptId, run: (worker: Worker) => void): void {
    invariant(!this.assigned.has(attempt), 'attempts-are-never-used-again', () => attempt);
    const slots = this.free.get(session);
    invariant(slots !== undefined && slots > 0, 'only-free-slots-of-live-workers-get-work', () => session);
    this.free.set(session, slots - 1);
    this.assigned.set(attempt, session);
    this.toWorker(session, run);
  }

  /** Looks at the input, not at the scheduler: whatever a partition has in any split must be among the sources. */
  private checkSources(effect: SchedulerEffect & { kind: 'assign-reduce' }): void {
    invariant(!this.doneReduces.has(effect.partition), 'completed-reduces-stay', () => `${effect.partition}`);
    const splits = new Set(
      effect.sources.map(({ attempt }) =>
        Number(attempt.slice('sim-m'.length, -attempt.length + attempt.indexOf('.'))),
      ),
    );
    this.input.splits.forEach((_, split) => {
      const wanted = (this.input.map(split)[effect.partition]?.size ?? 0) > 0;
      invariant(splits.has(split) === wanted, 'reduce-after-all-maps', () => `split ${split} is not among the sources`);
    });
  }

  private loseSession(session: WorkerId): void {
    if (!this.free.delete(session)) return;
    const before = this.scheduler.mapsCompleted;
    this.deliver({ kind: 'worker-lost', worker: session });
    if (this.scheduler.mapsCompleted < before) this.reach('completed-map-lost-with-its-worker');
  }

  private freeSlot(session: WorkerId): void {
    const slots = this.free.get(session);
    if (slots !== undefined) this.free.set(session, slots + 1);
  }

  // The workers.

  private connect(worker: Worker): void {
    worker.life++;
    worker.outputs.clear();
    const session = `w${this.workers.indexOf(worker)}#${++this.sessions}`;
    worker.session = session;
    this.free.set(session, worker.slots);
    this.deliver({ kind: 'offer', worker: session, slots: 0 });
  }

  private toWorker(session: WorkerId, run: (worker: Worker) => void): void {
    this.time.after(this.time.below(1_000), () => {
      const worker = this.workers.find((each) => each.session === session);
      if (worker?.alive === true) run(worker);
    });
  }

  /** Tells the master how an attempt ended. A session that broke may still have had words on the way: late, or never. */
  private report(session: WorkerId, event: SchedulerEvent): void {
    const speak = (): void => {
      if (!this.free.has(session)) {
        if (this.time.chance(500)) return;
        this.reach('late-word-of-a-lost-worker');
      }
      this.freeSlot(session);
      if (event.kind === 'attempt-finished' && /-r/.test(event.attempt)) this.noteReduce(event.attempt);
      this.deliver(event);
      if (this.time.chance(this.faults.repeat)) this.time.after(this.time.below(5_000), () => this.deliver(event));
    };
    this.time.after(this.time.below(1_000), speak);
  }

  private noteReduce(attempt: AttemptId): void {
    const task = this.scheduler.reduceTasks.find(({ state }) => state.phase === 'running' && state.attempt === attempt);
    if (task !== undefined) this.doneReduces.add(task.index);
  }

  private runMap(worker: Worker, attempt: AttemptId, split: number): void {
    const { life, session } = worker;
    this.time.after(500 + this.time.below(20_000), () => {
      if (worker.life !== life || !worker.alive || session === undefined || worker.stopped.has(attempt)) return;
      if (this.fails(`m${split}`)) return this.reportFailure(session, attempt);
      const output = this.input.map(split);
      worker.outputs.set(attempt, output);
      const words = output.reduce((sum, part) => sum + [...part.values()].reduce((a, b) => a + b, 0), 0);
      const result = { counters: { words }, outputBytes: output.map((part) => part.size) };
      this.report(session, { kind: 'attempt-finished', worker: session, attempt, result });
    });
  }

  private runReduce(worker: Worker, task: SchedulerEffect & { kind: 'assign-reduce' }): void {
    const { life, session } = worker;
    const { attempt, partition, sources } = task;
    const sum = new Map<string, number>();
    const fetch = (index: number, tries: number): void => {
      if (worker.life !== life || !worker.alive || session === undefined || worker.stopped.has(attempt)) return;
      const source = sources[index];
      if (source === undefined) return this.finishReduce(session, task, sum);
      const part = this.workers
        .find((each) => each.alive && each.outputs.has(source.attempt))
        ?.outputs.get(source.attempt)?.[partition];
      if (part !== undefined) {
        for (const [word, count] of part) sum.set(word, (sum.get(word) ?? 0) + count);
        this.time.after(this.time.below(3_000), () => fetch(index + 1, 0));
      } else if (tries < FETCH_TRIES) this.time.after(2_000, () => fetch(index, tries + 1));
      else {
        this.reach('fetch-failed');
        const reason = 'connection refused';
        this.report(session, { kind: 'fetch-failed', worker: session, attempt, sources: [source.attempt], reason });
      }
    };
    this.time.after(this.time.below(this.time.chance(100) ? STRAGGLER_US : 3_000), () => fetch(0, 0));
  }

  private finishReduce(
    session: WorkerId,
    task: { attempt: AttemptId; partition: number },
    sum: Map<string, number>,
  ): void {
    if (this.fails(`r${task.partition}`)) return this.reportFailure(session, task.attempt);
    if (this.visible !== undefined) this.reach('zombie-wrote-after-the-commit');
    const lines = outputLines(sum);
    this.staging.set(task.attempt, lines);
    const result = { counters: { lines: lines.length }, outputBytes: [lines.length] };
    this.report(session, { kind: 'attempt-finished', worker: session, attempt: task.attempt, result });
  }

  /** At most three of a task's attempts fail, so that no job may fail. */
  private fails(task: string): boolean {
    const before = this.failures.get(task) ?? 0;
    if (this.time.now > HEAL_US || before === 3 || !this.time.chance(this.faults.failAttempt)) return false;
    this.failures.set(task, before + 1);
    return true;
  }

  private reportFailure(session: WorkerId, attempt: AttemptId): void {
    this.reach('attempt-failed');
    this.report(session, { kind: 'attempt-failed', worker: session, attempt, reason: 'it threw', fatal: false });
  }

  // The faults.

  private fault(): void {
    if (this.time.now > HEAL_US || this.outcome !== undefined) return;
    this.time.after(1_000 + this.time.below(10_000), () => this.fault());
    const worker = this.time.pick(this.workers);
    if (worker?.session === undefined) return;
    if (this.time.chance(this.faults.crash)) this.crash(worker, worker.session);
    else if (this.time.chance(this.faults.breakSession)) this.breakSession(worker, worker.session);
    else if (this.time.chance(this.faults.loseOutput)) {
      const lost = this.time.pick([...worker.outputs.keys()]);
      if (lost !== undefined) worker.outputs.delete(lost);
    }
  }

  /** The process dies with all it held; the master hears of it a little later, and then it starts again. */
  private crash(worker: Worker, session: WorkerId): void {
    worker.alive = false;
    worker.outputs.clear();
    worker.session = undefined;
    this.time.after(this.time.below(10_000), () => this.loseSession(session));
    this.time.after(10_000 + this.time.below(30_000), () => {
      worker.alive = true;
      this.connect(worker);
    });
  }

  /** The master gives the worker up; the worker works on, and serves its outputs, until it notices. */
  private breakSession(worker: Worker, session: WorkerId): void {
    this.reach('zombie');
    this.time.after(this.time.below(5_000), () => this.loseSession(session));
    const { life } = worker;
    this.time.after(6_000 + this.time.below(STRAGGLER_US), () => {
      if (worker.alive && worker.life === life) this.connect(worker);
    });
  }

  private reach(state: string): void {
    this.reached.set(state, (this.reached.get(state) ?? 0) + 1);
  }

  private trace(happened: SchedulerEvent | SchedulerEffect): void {
    const line = `${this.time.now} ${JSON.stringify(happened)}`;
    for (let at = 0; at < line.length; at++) {
      this.digest = Math.imul(this.digest ^ line.charCodeAt(at), 0x01000193) >>> 0;
    }
  }
}
