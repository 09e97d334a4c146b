import type { AttemptId } from '@synod/mapreduce';
import type { Cancel, Clock, Log, Timers } from '@synod/runtime';
import { ExecutorProcess, type ExecutorOptions } from './executor-process';
import type { ExecutorReport, Order } from './executor/orders';

/** How an attempt ended in its executor. */
export type AttemptEnd = Exclude<ExecutorReport, { kind: 'ready' | 'progress' }> | { readonly kind: 'stopped' };

export interface ExecutorPoolOptions extends ExecutorOptions {
  /** Executors, each running one attempt at a time. */
  readonly slots: number;
  /** An attempt that shows no progress for so long is killed. */
  readonly noProgressMs: number;
  /** Attempts after which an executor is replaced: leaks of user code do not pile up. */
  readonly attemptsPerExecutor: number;
}

interface Job {
  readonly order: Order;
  readonly end: (end: AttemptEnd) => void;
  records: number;
}

/** One executor and what it does. */
interface Slot {
  process: ExecutorProcess;
  ready: boolean;
  job: Job | undefined;
  attempts: number;
  lastSignUs: number;
}

/** How often slots are looked at for signs of life. */
const WATCH_US = 1_000_000;
/** Before an executor that would not start is started again. */
const RESTART_US = 500_000;

/** The executors of a worker: forked ahead, used again for the same program, replaced when they fail, hang or get old. */
export class ExecutorPool {
  private readonly slots: Slot[];
  private readonly queue: Job[] = [];
  private cancelWatch: Cancel = () => undefined;
  private closed = false;

  constructor(
    private readonly ports: { readonly clock: Clock; readonly timers: Timers; readonly log: Log },
    private readonly options: ExecutorPoolOptions,
  ) {
    this.slots = Array.from({ length: options.slots }, () => this.newSlot());
    this.watch();
  }

  get busy(): number {
    return this.slots.filter((slot) => slot.job !== undefined).length;
  }

  get queued(): number {
    return this.queue.length;
  }

  /** Runs an attempt as soon as a slot is free; resolves with how it ended, whatever happens to the executor. */
  run(order: Order): Promise<AttemptEnd> {
    return new Promise((resolve) => {
      this.queue.push({ order, end: resolve, records: 0 });
      this.dispatch();
    });
  }

  /** Ends an attempt at once, as `stopped`, if it is here. */
  stop(attempt: AttemptId): void {
    const waiting = this.queue.findIndex(({ order }) => order.attempt === attempt);
    for (const job of waiting < 0 ? [] : this.queue.splice(waiting, 1)) job.end({ kind: 'stopped' });
    const slot = this.slots.find(({ job }) => job?.order.attempt === attempt);
    if (slot !== undefined) this.kill(slot, { kind: 'stopped' });
  }

  /** Records handled so far by each running attempt, for people. */
  progress(): { attempt: AttemptId; records: number }[] {
    return this.slots.flatMap(({ job }) =>
      job === undefined ? [] : [{ attempt: job.order.attempt, records: job.records }],
    );
  }

  close(): void {
    this.closed = true;
    this.cancelWatch();
    for (const { process } of this.slots) process.kill();
  }

  private dispatch(): void {
    for (const job of [...this.queue]) {
      const slot = this.slotFor(job);
      if (slot === undefined) return;
      this.queue.splice(this.queue.indexOf(job), 1);
      slot.job = job;
      slot.attempts++;
      slot.lastSignUs = this.ports.clock.monotonicUs();
      const { program } = job.order;
      if (program.kind === 'user') slot.process.bundle = program.path;
      slot.process.send(job.order);
    }
  }

  /** A free executor that has loaded no user code, or this job's own; else one is made free of what it loaded. */
  private slotFor({ order }: Job): Slot | undefined {
    const bundle = order.program.kind === 'user' ? order.program.path : undefined;
    const free = this.slots.filter((slot) => slot.ready && slot.job === undefined);
    const fitting =
      free.find(({ process }) => process.bundle === bundle) ?? free.find(({ process }) => process.bundle === undefined);
    const [other] = free;
    if (fitting === undefined && other !== undefined) this.retire(other); // Its successor dispatches when it is ready.
    return fitting;
  }

  private newSlot(): Slot {
    const lastSignUs = this.ports.clock.monotonicUs();
    const slot: Slot = { process: this.fork(() => slot), ready: false, job: undefined, attempts: 0, lastSignUs };
    return slot;
  }

  private fork(slot: () => Slot): ExecutorProcess {
    return new ExecutorProcess(
      this.options,
      (report) => this.heard(slot(), report),
      (how) => this.exited(slot(), how),
    );
  }

  private heard(slot: Slot, report: ExecutorReport): void {
    slot.lastSignUs = this.ports.clock.monotonicUs();
    if (report.kind === 'ready') {
      slot.ready = true;
      this.dispatch();
    } else if (report.kind === 'progress') {
      if (slot.job !== undefined) slot.job.records = report.records;
    } else {
      this.end(slot, report);
      const failed = report.kind === 'failed';
      if (failed || slot.attempts >= this.options.attemptsPerExecutor) this.retire(slot);
      else this.dispatch();
    }
  }

  private end(slot: Slot, end: AttemptEnd): void {
    const { job } = slot;
    slot.job = undefined;
    job?.end(end);
  }

  private kill(slot: Slot, end: AttemptEnd): void {
    this.end(slot, end);
    this.retire(slot);
  }

  /** Replaces the process; it takes no attempt any more. */
  private retire(slot: Slot): void {
    slot.ready = false;
    slot.process.kill();
  }

  private exited(slot: Slot, how: string): void {
    slot.ready = false;
    this.end(slot, { kind: 'failed', reason: how, fatal: false });
    if (this.closed) return;
    if (slot.attempts === 0) this.ports.log.error('an executor does not start; trying again', { how });
    this.ports.timers.after(slot.attempts > 0 ? 0 : RESTART_US, () => {
      if (this.closed) return;
      slot.attempts = 0;
      slot.process = this.fork(() => slot);
    });
  }

  private watch(): void {
    this.cancelWatch = this.ports.timers.after(WATCH_US, () => {
      this.watch();
      const { noProgressMs } = this.options;
      for (const slot of this.slots) {
        const silentUs = this.ports.clock.monotonicUs() - slot.lastSignUs;
        if (slot.job === undefined || silentUs < noProgressMs * 1_000) continue;
        const reason = `no progress for ${noProgressMs / 1_000} s; the executor was killed`;
        this.ports.log.warn('an attempt is stuck', { attempt: slot.job.order.attempt, reason });
        this.kill(slot, { kind: 'failed', reason, fatal: false });
      }
    });
  }
}
