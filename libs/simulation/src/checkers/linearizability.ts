import { endOf, type Operation } from './history';
import { LEGAL, type Verdict } from './verdict';

/** What an object does when nobody else is there. States are strings, so that equal ones are found to be equal. */
export interface Model<I, O> {
  readonly initial: string;
  /**
   * The state after an operation, or undefined if it cannot have happened in this state.
   * @param output what the client was answered; undefined if it never was
   */
  step(state: string, input: I, output: O | undefined): string | undefined;
  /** Whether the operation leaves every state as it is. */
  readOnly(input: I, output: O | undefined): boolean;
}

/** Steps of the model tried before a search gives up; about a second. */
export const STEPS_MAX = 2_000_000;

/** One possible past: the state, and which of the open operations have happened (a bit each, by slot). */
interface Configuration {
  readonly state: string;
  readonly taken: bigint;
}

/**
 * Whether a history has a linearization: an order that the model allows and in which nothing comes before what had ended before it
 * began (Herlihy & Wing, "Linearizability", TOPLAS 1990). Searches breadth-first and just in time (Lowe, "Testing for
 * linearizability", 2017): all possible pasts are carried along, and an operation is placed only when some return forces it.
 * A read that fits is placed at once, because it closes no way. Linear in the length, exponential in the overlap.
 */
export function checkLinearizable<I, O>(
  operations: readonly Operation<I, O>[],
  model: Model<I, O>,
  stepsMax: number = STEPS_MAX,
): Verdict {
  const search = new Search(model, stepsMax);
  for (const { operation, returns } of timeline(operations)) {
    if (!returns) search.call(operation);
    else if (!search.return(operation)) return search.failure(operation);
  }
  return LEGAL;
}

interface Moment<I, O> {
  readonly at: number;
  readonly operation: Operation<I, O>;
  readonly returns: boolean;
}

/** Calls and returns by time. At equal times calls come first: operations that touch are concurrent. */
function timeline<I, O>(operations: readonly Operation<I, O>[]): Moment<I, O>[] {
  const moments: Moment<I, O>[] = [];
  for (const operation of operations) {
    if (operation.outcome.type === 'fail') continue;
    moments.push({ at: operation.invokedAt, operation, returns: false });
    const at = endOf(operation);
    if (at !== Infinity) moments.push({ at, operation, returns: true });
  }
  return moments.sort(
    (a, b) => a.at - b.at || Number(a.returns) - Number(b.returns) || a.operation.index - b.operation.index,
  );
}

class Search<I, O> {
  private configurations: Configuration[];
  /** Called and not yet returned, by slot. */
  private readonly open: (Operation<I, O> | undefined)[] = [];
  private steps = 0;

  constructor(
    private readonly model: Model<I, O>,
    private readonly stepsMax: number,
  ) {
    this.configurations = [{ state: model.initial, taken: 0n }];
  }

  call(operation: Operation<I, O>): void {
    const free = this.open.indexOf(undefined);
    if (free === -1) this.open.push(operation);
    else this.open[free] = operation;
  }

  /** Keeps the pasts in which the operation can have happened by now. False if there are none, or too many to try. */
  return(operation: Operation<I, O>): boolean {
    const slot = this.open.indexOf(operation);
    const bit = 1n << BigInt(slot);
    const kept = new Map<string, Configuration>();
    const seen = new Set<string>();
    const work = this.configurations;
    for (let next = work.pop(); next !== undefined; next = work.pop()) {
      if (this.steps > this.stepsMax) return false;
      if ((next.taken & bit) !== 0n) {
        const without = { state: next.state, taken: next.taken & ~bit };
        kept.set(keyOf(without), without);
        continue;
      }
      for (const following of this.followers(next)) {
        const key = keyOf(following);
        if (seen.has(key)) continue;
        seen.add(key);
        work.push(following);
      }
    }
    this.open[slot] = undefined;
    this.configurations = [...kept.values()];
    return this.configurations.length > 0;
  }

  failure(operation: Operation<I, O>): Verdict {
    if (this.steps > this.stepsMax) {
      return { verdict: 'undecided', reason: `no order found in ${this.stepsMax} steps; shorten the history` };
    }
    const open = this.open.filter((other) => other !== undefined);
    const detail = `no order explains it, with ${open.length} other operations open when it returned`;
    return { verdict: 'illegal', anomalies: [{ name: 'not-linearizable', detail, operations: [operation, ...open] }] };
  }

  /** Every way to place one more open operation. */
  private followers({ state, taken }: Configuration): Configuration[] {
    const ways: Configuration[] = [];
    for (const [slot, operation] of this.open.entries()) {
      const bit = 1n << BigInt(slot);
      if (operation === undefined || (taken & bit) !== 0n) continue;
      this.steps++;
      const { input, outcome } = operation;
      const output = outcome.type === 'ok' ? outcome.output : undefined;
      const after = this.model.step(state, input, output);
      if (after === undefined) continue;
      const way = { state: after, taken: taken | bit };
      if (this.model.readOnly(input, output)) return [way];
      ways.push(way);
    }
    return ways;
  }
}

function keyOf({ state, taken }: Configuration): string {
  return `${taken.toString(36)} ${state}`;
}
