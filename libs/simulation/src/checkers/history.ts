/** How an operation ended, as its client saw it. */
export type Outcome<O> =
  /** Took effect and was answered. `position`: the revision or commit timestamp in the answer, if it had one. */
  | { readonly type: 'ok'; readonly at: number; readonly output: O; readonly position?: bigint }
  /** Certainly had no effect: only where the interface proves it. `output`: what it would have done, so that traces of it can be found. */
  | { readonly type: 'fail'; readonly at: number; readonly output?: O }
  /** Unknown, for ever: it may take effect at any time after its start, or never. */
  | { readonly type: 'info'; readonly at: number; readonly output?: O };

/** One operation of a client, from the call to its answer. */
export interface Operation<I, O> {
  /** In the order of the calls. */
  readonly index: number;
  readonly process: string;
  readonly invokedAt: number;
  readonly input: I;
  readonly outcome: Outcome<O>;
}

/** When an operation was certainly over; never, if its answer is unknown. */
export function endOf(operation: Operation<unknown, unknown>): number {
  return operation.outcome.type === 'info' ? Infinity : operation.outcome.at;
}

/** The handle of an operation under way. Exactly one of these is called, once. */
export interface Pending<O> {
  ok(output: O, position?: bigint): void;
  fail(output?: O): void;
  info(output?: O): void;
}

/**
 * What clients saw, as their harness wrote it down. Times come from one clock that all clients share (virtual time, or the monotonic
 * clock of one process), never from a node. A process has one operation under way at most, and none after one with an unknown end.
 */
export class History<I, O> {
  private readonly started: { process: string; invokedAt: number; input: I; outcome: Outcome<O> | undefined }[] = [];
  private readonly busy = new Set<string>();

  constructor(private readonly now: () => number) {}

  invoke(process: string, input: I): Pending<O> {
    if (this.busy.has(process)) {
      throw new Error(
        `${process} has an operation under way, or one that ended unknown: give the next one to a new process`,
      );
    }
    this.busy.add(process);
    const entry = { process, invokedAt: this.now(), input, outcome: undefined as Outcome<O> | undefined };
    this.started.push(entry);
    const end = (outcome: Outcome<O>): void => {
      if (entry.outcome !== undefined) throw new Error(`an operation of ${process} ended twice`);
      entry.outcome = outcome;
      if (outcome.type !== 'info') this.busy.delete(process);
    };
    return {
      ok: (output, position) =>
        end({ type: 'ok', at: this.now(), output, ...(position === undefined ? {} : { position }) }),
      fail: (output) => end({ type: 'fail', at: this.now(), ...(output === undefined ? {} : { output }) }),
      info: (output) => end({ type: 'info', at: this.now(), ...(output === undefined ? {} : { output }) }),
    };
  }

  /** All operations in the order of their calls; what is still under way counts as unknown. */
  operations(): Operation<I, O>[] {
    return this.started.map(({ process, invokedAt, input, outcome }, index) => {
      return { index, process, invokedAt, input, outcome: outcome ?? { type: 'info', at: this.now() } };
    });
  }
}

/** A history as text, one operation a line, for a failure report. */
export function historyLines(operations: readonly Operation<unknown, unknown>[]): string[] {
  return operations.map((operation) => {
    const { process, invokedAt, input, outcome } = operation;
    return `${invokedAt}..${outcome.at} ${process} ${outcome.type} ${textOf(input)} ${textOf({ ...outcome, at: undefined, type: undefined })}`;
  });
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (_name, field: unknown) => (typeof field === 'bigint' ? field.toString() : field));
}
