import { endOf, type Operation } from './history';
import { verdictOf, type Anomaly, type Verdict } from './verdict';

/** What one key was seen to hold. */
export type Sight =
  | {
      readonly key: string;
      /** Absent for an absent key. */
      readonly value?: string;
      /** Position of the write that was seen, if the answer names it. */
      readonly version?: bigint;
    }
  /** Certainly not this (absent: certainly not absent): what a refused compare-and-set tells. */
  | { readonly key: string; readonly otherThan: string | undefined };

/** A value given to a key, or the key's removal if there is none. Values are unique per key over all operations. */
export interface Put {
  readonly key: string;
  readonly value?: string;
}

/** Reads and writes that happened at one instant: a transaction, or one operation on one key. */
export interface Atomic {
  /** What the keys held just before its own writes. */
  readonly reads: readonly Sight[];
  readonly writes: readonly Put[];
}

/** An `ok` outcome needs a `position`. An unknown one has its writes in the outcome's `output`, if the client got that far. */
export type AtomicOperation = Operation<unknown, Atomic>;

/** An operation with its place in the order. */
interface Placed {
  readonly operation: AtomicOperation;
  readonly atomic: Atomic;
  readonly position: bigint;
}

interface Cell {
  readonly value: string | undefined;
  readonly version: bigint | undefined;
}

const EMPTY: Cell = { value: undefined, version: undefined };

/**
 * Takes the positions in the answers (revisions, commit timestamps, read timestamps) at their word: sorts by them, replays the order on
 * a plain map, and then tests that nothing is ordered before what had ended before it began. If both hold, that order *is* the proof of
 * linearizability, or of strict serializability for transactions, in O(n log n). If not, the system broke its word in one way or another.
 *
 * A read without writes sees what is at or below its position; a write stands alone at its own.
 */
export function checkWitnessOrder(operations: readonly AtomicOperation[]): Verdict {
  const replay = new Replay(operations);
  const anomalies = [...replay.run(), ...timeTravel(replay.order)];
  if (anomalies.length > 0 && replay.guessed) {
    const reason = `an unknown outcome was placed by guess, then: ${anomalies[0]?.name} (${anomalies[0]?.detail})`;
    return { verdict: 'undecided', reason };
  }
  return verdictOf(anomalies);
}

class Replay {
  /** Everything that happened, in the order of the positions, once `run` is through. */
  readonly order: AtomicOperation[] = [];
  /** An unknown operation had to be put somewhere, and other places were possible. */
  guessed = false;
  private readonly cells = new Map<string, Cell>();
  private readonly known: Placed[];
  /** Operations of unknown outcome that were not seen yet, by key. */
  private readonly unknown = new Map<string, AtomicOperation[]>();

  constructor(operations: readonly AtomicOperation[]) {
    this.known = operations.flatMap((operation) => {
      const { outcome } = operation;
      if (outcome.type !== 'ok') return [];
      if (outcome.position === undefined) throw new Error(`operation ${operation.index} has no position in its answer`);
      return [{ operation, atomic: outcome.output, position: outcome.position }];
    });
    this.placeUnknown(operations);
    this.known.sort(byPosition);
  }

  run(): Anomaly[] {
    const anomalies: Anomaly[] = [];
    let lastWriter: Placed | undefined;
    for (const placed of this.known) {
      const { atomic, operation, position } = placed;
      anomalies.push(...this.compare(placed));
      if (atomic.writes.length > 0) {
        if (lastWriter?.position === position) {
          anomalies.push({
            name: 'position-taken-twice',
            detail: `two writers at ${position}`,
            operations: [lastWriter.operation, operation],
          });
        }
        lastWriter = placed;
      }
      this.write(atomic.writes, position);
      this.order.push(operation);
    }
    return anomalies;
  }

  /** Unknown operations that an answer places exactly, by naming the version it saw, join the known ones; the rest wait to be seen. */
  private placeUnknown(operations: readonly AtomicOperation[]): void {
    const versions = new Map<string, bigint>();
    for (const { atomic } of this.known) {
      for (const sight of atomic.reads) {
        if ('otherThan' in sight || sight.version === undefined || sight.value === undefined) continue;
        versions.set(nameOf(sight.key, sight.value), sight.version);
      }
    }
    for (const operation of operations) {
      const { outcome } = operation;
      if (outcome.type !== 'info' || outcome.output === undefined || outcome.output.writes.length === 0) continue;
      const positions = outcome.output.writes.map(({ key, value }) =>
        value === undefined ? undefined : versions.get(nameOf(key, value)),
      );
      const position = positions.find((version) => version !== undefined);
      if (position !== undefined) {
        this.known.push({ operation, atomic: outcome.output, position });
        continue;
      }
      for (const { key } of outcome.output.writes) {
        const waiting = this.unknown.get(key);
        if (waiting === undefined) this.unknown.set(key, [operation]);
        else waiting.push(operation);
      }
    }
  }

  private compare({ operation, atomic, position }: Placed): Anomaly[] {
    for (const sight of atomic.reads) {
      if (!agrees(sight, this.cells.get(sight.key) ?? EMPTY)) this.adopt(sight, operation);
    }
    const anomalies: Anomaly[] = [];
    // Only now, because what was adopted for one key may have changed another.
    for (const sight of atomic.reads) {
      const cell = this.cells.get(sight.key) ?? EMPTY;
      if (agrees(sight, cell)) continue;
      const held = `${cell.value ?? 'nothing'}${cell.version === undefined ? '' : ` of ${cell.version}`}`;
      const saw = 'otherThan' in sight ? `anything but ${sight.otherThan ?? 'nothing'}` : (sight.value ?? 'nothing');
      const of = 'version' in sight && sight.version !== undefined ? ` of ${sight.version}` : '';
      anomalies.push({
        name: 'read-differs-from-order',
        detail: `at ${position} the key ${sight.key} holds ${held}, seen was ${saw}${of}`,
        operations: [operation],
      });
    }
    return anomalies;
  }

  /**
   * Lets an unknown operation have happened just now, because its effect is seen: the latest place there is, which leaves it the most
   * freedom against time. Does nothing if there is none that explains the sight.
   */
  private adopt(sight: Sight, observer: AtomicOperation): void {
    const waiting = this.unknown.get(sight.key) ?? [];
    const explains = (operation: AtomicOperation): boolean => {
      const put = writesOf(operation).find(({ key }) => key === sight.key);
      if (put === undefined || operation.invokedAt > endOf(observer)) return false;
      return 'otherThan' in sight ? put.value !== sight.otherThan : put.value === sight.value;
    };
    const candidates = waiting.filter(explains);
    const [first] = candidates;
    if (first === undefined) return;
    const writes = writesOf(first);
    // One write of a value of its own can stand nowhere else as far as anyone can tell; several writes, or one of many deletions, can.
    if (candidates.length > 1 || writes.length > 1 || 'otherThan' in sight) this.guessed = true;
    for (const { key } of writes)
      this.unknown.set(
        key,
        (this.unknown.get(key) ?? []).filter((other) => other !== first),
      );
    this.write(writes, undefined);
    this.order.push(first);
  }

  private write(writes: readonly Put[], position: bigint | undefined): void {
    for (const { key, value } of writes) this.cells.set(key, { value, version: position });
  }
}

/** Walks the order with the latest beginning so far: what had ended before that beginning should stand before it. */
function timeTravel(order: readonly AtomicOperation[]): Anomaly[] {
  const anomalies: Anomaly[] = [];
  let latest: AtomicOperation | undefined;
  for (const operation of order) {
    if (latest !== undefined && endOf(operation) < latest.invokedAt) {
      anomalies.push({
        name: 'order-against-time',
        detail: 'the first is ordered before the second, though it began after the second had ended',
        operations: [latest, operation],
      });
    }
    if (latest === undefined || operation.invokedAt > latest.invokedAt) latest = operation;
  }
  return anomalies;
}

function agrees(sight: Sight, cell: Cell): boolean {
  if ('otherThan' in sight) return cell.value !== sight.otherThan;
  if (sight.value !== cell.value) return false;
  return (
    sight.version === undefined ||
    cell.version === undefined ||
    sight.value === undefined ||
    sight.version === cell.version
  );
}

function byPosition(a: Placed, b: Placed): number {
  if (a.position !== b.position) return a.position < b.position ? -1 : 1;
  const [readsA, readsB] = [a.atomic.writes.length === 0, b.atomic.writes.length === 0];
  return (
    Number(readsA) - Number(readsB) ||
    a.operation.invokedAt - b.operation.invokedAt ||
    a.operation.index - b.operation.index
  );
}

function writesOf({ outcome }: AtomicOperation): readonly Put[] {
  return outcome.output?.writes ?? [];
}

function nameOf(key: string, value: string): string {
  return JSON.stringify([key, value]);
}
