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
 * A read that fits is placed at once, because it closes no way. Linear in the length, exponential in the overlap of known operations;
 * unknown ones, which stay open for ever, are taken only where a state cannot be had with fewer of them.
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
  /** Called and not yet returned, by slot. Unknown operations never return. */
  private readonly open: (Operation<I, O> | undefined)[] = [];
  /** The slots of unknown operations, and which of these do the same thing. */
  private unknown = 0n;
  private readonly sameAs = new Map<string, number[]>();
  private steps = 0;

  constructor(
    private readonly model: Model<I, O>,
    private readonly stepsMax: number,
  ) {
    this.configurations = [{ state: model.initial, taken: 0n }];
  }

  call(operation: Operation<I, O>): void {
    const free = this.open.indexOf(undefined);
    const slot = free === -1 ? this.open.length : free;
    this.open[slot] = operation;
    if (operation.outcome.type !== 'info') return;
    this.unknown |= bitOf(slot);
    const deed = JSON.stringify(operation.input);
    this.sameAs.set(deed, [...(this.sameAs.get(deed) ?? []), slot]);
  }

  /** Keeps the pasts in which the operation can have happened by now. False if there are none, or too many to try. */
  return(operation: Operation<I, O>): boolean {
    const slot = this.open.indexOf(operation);
    const kept = new Frontier(this.unknown);
    const seen = new Frontier(this.unknown);
    for (const configuration of this.configurations) seen.add(configuration);
    // By the number of unknown operations taken, so that a past that needs fewer is known before those that it makes superfluous.
    for (let level = this.configurations; level.length > 0;) {
      const dearer: Configuration[] = [];
      for (let next = level.pop(); next !== undefined; next = level.pop()) {
        if (this.steps > this.stepsMax) return false;
        if ((next.taken & bitOf(slot)) !== 0n) {
          kept.add({ state: next.state, taken: next.taken & ~bitOf(slot) });
          continue;
        }
        for (const following of this.followers(next)) {
          if (!seen.add(following)) continue;
          const costs = (following.taken & this.unknown) !== (next.taken & this.unknown);
          (costs ? dearer : level).push(following);
        }
      }
      level = dearer;
    }
    this.open[slot] = undefined;
    this.configurations = kept.all();
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
      if (operation === undefined || (taken & bitOf(slot)) !== 0n || this.hasTwin(slot, taken)) continue;
      const { input, outcome } = operation;
      const output = outcome.type === 'ok' ? outcome.output : undefined;
      // Nothing hangs on a read without an answer.
      if (outcome.type === 'info' && this.model.readOnly(input, undefined)) continue;
      this.steps++;
      const after = this.model.step(state, input, output);
      if (after === undefined) continue;
      const way = { state: after, taken: taken | bitOf(slot) };
      if (this.model.readOnly(input, output)) return [way];
      ways.push(way);
    }
    return ways;
  }

  /** Unknown operations that do the same are interchangeable, since none has an end: the first one free stands for all. */
  private hasTwin(slot: number, taken: bigint): boolean {
    if ((this.unknown & bitOf(slot)) === 0n) return false;
    const twins = this.sameAs.get(JSON.stringify(this.open[slot]?.input)) ?? [];
    return twins.find((twin) => (taken & bitOf(twin)) === 0n) !== slot;
  }
}

/**
 * Configurations without the superfluous ones: of two with the same state and the same known operations taken, one that took a subset
 * of the other's unknown operations can do whatever the other can.
 */
class Frontier {
  private readonly cheapest = new Map<
    string,
    { readonly state: string; readonly known: bigint; readonly prices: bigint[] }
  >();

  constructor(private readonly unknown: bigint) {}

  /** False if it is superfluous. */
  add({ state, taken }: Configuration): boolean {
    const known = taken & ~this.unknown;
    const price = taken & this.unknown;
    const key = `${known.toString(36)} ${state}`;
    const entry = this.cheapest.get(key);
    if (entry === undefined) {
      this.cheapest.set(key, { state, known, prices: [price] });
      return true;
    }
    if (entry.prices.some((other) => (other & price) === other)) return false;
    const kept = entry.prices.filter((other) => (other & price) !== price);
    this.cheapest.set(key, { state, known, prices: [...kept, price] });
    return true;
  }

  all(): Configuration[] {
    return [...this.cheapest.values()].flatMap(({ state, known, prices }) => {
      return prices.map((price) => ({ state, taken: known | price }));
    });
  }
}

function bitOf(slot: number): bigint {
  return 1n << BigInt(slot);
}
