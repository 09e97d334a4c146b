import { InvariantViolation, invariant } from '@synod/invariant';
import type { Cancel } from '@synod/runtime';
import { Draws } from './draw';
import { drive, type Drain } from './driver';
import { EventHeap, type Owner } from './event-heap';
import { ProcessGone, SeedFailure, invariantOf } from './failure';
import { Network } from './network';
import { poison } from './poison';
import { SimNode, type MakeHost, type NodeOptions } from './sim-node';
import { SometimesRegistry } from './sometimes';
import { CALM, type WorldShape } from './shape';
import { Trace } from './trace';

export interface WorldOptions {
  /** An integer from 0 to 2^53 − 1: every choice of the world follows from it. */
  readonly seed: number;
  /** How network, disks and timers behave; a calm local network if absent. */
  readonly shape?: WorldShape;
  /** Lines of trace kept for a failure report. */
  readonly traceLines?: number;
  /** Sees every line of the trace, for a replay with a full one. */
  readonly onTraceLine?: (line: string) => void;
  /** Events per virtual second at most, over all nodes: more is a livelock, invariant `events-bounded`. */
  readonly eventsPerSecondMax?: number;
  /** False lets nodes read the real clock and real chance: only for measuring what the traps cost. */
  readonly traps?: boolean;
  /** `frozen` only to compare digests with a run of the default, `turning`: they differ if a node waits for the real world. */
  readonly drain?: Drain;
}

/** Whose events belong to no node: the nemesis, the network, whoever tests. */
const NOBODY: Owner = { id: 0, state: 'running' };

/** Default of `run`'s second argument. */
const PATIENCE_US = 60_000_000;

let worldTurns = false;

/**
 * A whole cluster in one process on virtual time. All that happens is an event at a virtual microsecond; between two events every
 * promise job runs to its end. One seed decides everything, so a run can be repeated exactly (same commit, same Node version).
 *
 * Source: FoundationDB's simulator (Zhou et al., SIGMOD 2021, §4) and TigerBeetle's VOPR, for hosts that `await`.
 */
export class World {
  readonly seed: number;
  readonly shape: WorldShape;
  readonly trace: Trace;
  readonly probes = new SometimesRegistry();
  readonly network: Network;
  readonly nodes = new Map<string, SimNode<unknown>>();

  private readonly heap = new EventHeap();
  private readonly checks: (() => void)[] = [];
  private turnEnds: (() => void)[] = [];
  private nowUs = 0;
  private eventCount = 0;
  private sequence = 0;
  private current: Owner = NOBODY;
  private failed: SeedFailure | undefined;
  private secondEndsUs = 1_000_000;
  private secondBeganAt = 0;

  constructor(private readonly options: WorldOptions) {
    this.seed = options.seed;
    this.shape = options.shape ?? CALM;
    this.trace = new Trace(options.traceLines ?? 200, options.onTraceLine);
    this.network = new Network(this);
  }

  /** Virtual microseconds since the world began: true time, which no node sees. */
  get now(): number {
    return this.nowUs;
  }

  /** How many events have run. */
  get events(): number {
    return this.eventCount;
  }

  get failure(): SeedFailure | undefined {
    return this.failed;
  }

  /** The choices about one thing; the same key gives the same sequence again, so ask once and keep it. */
  draws(stream: string, entity: string): Draws {
    return new Draws(this.seed, stream, entity);
  }

  /**
   * Adds a machine with an empty disk; nothing runs on it before `start`.
   * @param name also its address: `name:port` for any port reaches it
   */
  addNode<H>(name: string, makeHost: MakeHost<H>, options: NodeOptions = {}): SimNode<H> {
    invariant(!this.nodes.has(name), 'node-names-unique', () => name);
    const node = new SimNode(this, this.nodes.size + 1, name, makeHost, options);
    this.nodes.set(name, node);
    return node;
  }

  node(name: string): SimNode<unknown> {
    const node = this.nodes.get(name);
    if (node === undefined) throw new RangeError(`there is no node ${name}`);
    return node;
  }

  /** Runs `run` at `now + delayUs`, after everything already due then. Skipped if the owner is dead by then. */
  after(delayUs: number, run: () => void, owner: Owner = NOBODY): Cancel {
    const event = { at: this.nowUs + delayUs, seq: this.sequence++, owner, run: run as (() => void) | undefined };
    this.heap.push(event);
    return () => {
      event.run = undefined;
    };
  }

  /** `after` for what is never cancelled. */
  schedule(delayUs: number, owner: Owner, run: () => void): void {
    this.heap.push({ at: this.nowUs + delayUs, seq: this.sequence++, owner, run });
  }

  /** Runs `run` when the present event and all promise jobs it started are over; not an event of its own. */
  atTurnEnd(run: () => void): void {
    this.turnEnds.push(run);
  }

  /** Has `check` called after every event; it throws (best by `invariant`) when what it watches is broken. */
  always(check: () => void): void {
    this.checks.push(check);
  }

  /** Fails the seed: the run in progress, or the next one, rejects. Only the first failure counts. */
  fail(error: unknown): void {
    this.failed ??= new SeedFailure(
      invariantOf(error),
      this.seed,
      this.nowUs,
      this.eventCount,
      this.currentNode(),
      error,
    );
  }

  /**
   * Lets the world turn up to a virtual time, or until a predicate holds (asked before the first and after every event).
   * @param withinUs how long a predicate is waited for, in virtual microseconds from now
   * @returns whether the predicate came to hold; true for a time
   * @throws {SeedFailure} (rejects) on a broken invariant, or an error or rejection that a node left unhandled
   */
  async run(until: number | (() => boolean), withinUs: number = PATIENCE_US): Promise<boolean> {
    // Traps and stray rejections belong to the process: two worlds that turn at once could not tell whose they are.
    invariant(!worldTurns, 'one-world-turns-at-a-time');
    worldTurns = true;
    const unpoison = this.options.traps === false ? () => undefined : poison((name) => this.leaked(name));
    const deadline = typeof until === 'number' ? until : this.nowUs + withinUs;
    const holds = typeof until === 'number' ? () => false : until;
    let held = typeof until === 'number';
    try {
      await drive(
        this.options.drain ?? 'turning',
        () => {
          this.endTurn();
          if (this.failed !== undefined) throw this.failed;
          if (holds()) held = true;
          else if (this.step(deadline)) return true;
          return false;
        },
        (reason) => this.stray(reason),
      );
    } finally {
      unpoison();
      worldTurns = false;
    }
    return held;
  }

  /** The end of one event's turn: its promise jobs are over. */
  private endTurn(): void {
    try {
      while (this.turnEnds.length > 0) {
        const ends = this.turnEnds;
        this.turnEnds = [];
        for (const end of ends) end();
      }
      for (const check of this.checks) check();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Runs the next event that anyone is alive for. Returns false, with time at the deadline, if none is due by then. */
  private step(deadline: number): boolean {
    for (;;) {
      const next = this.heap.peek();
      if (next === undefined || next.at > deadline) {
        this.nowUs = Math.max(this.nowUs, deadline);
        return false;
      }
      this.heap.pop();
      const { run, owner } = next;
      if (run === undefined || owner.state === 'dead') continue;
      this.nowUs = next.at;
      if (owner.state === 'suspended') {
        owner.defer?.(run);
        continue;
      }
      this.eventCount++;
      this.trace.mix(next.at);
      this.trace.mix(next.seq);
      this.trace.mix(owner.id);
      this.current = owner;
      this.boundEvents();
      try {
        run();
      } catch (error) {
        if (!(error instanceof ProcessGone)) this.fail(error);
      }
      return true;
    }
  }

  private boundEvents(): void {
    if (this.nowUs < this.secondEndsUs) {
      const events = this.eventCount - this.secondBeganAt;
      const max = this.options.eventsPerSecondMax ?? 400_000;
      if (events > max) this.fail(new InvariantViolation('events-bounded', `more than ${max} in a virtual second`));
      return;
    }
    this.secondEndsUs = this.nowUs + 1_000_000;
    this.secondBeganAt = this.eventCount;
  }

  /** A rejection that nobody handles ends a real process, so it fails the seed. */
  private stray(reason: unknown): void {
    if (!(reason instanceof ProcessGone)) this.fail(reason);
  }

  private leaked(name: string): never {
    const violation = new InvariantViolation('no-leak-of-the-real-world', `${name} was used inside a simulation`);
    this.fail(violation);
    throw violation;
  }

  private currentNode(): string {
    for (const node of this.nodes.values()) if (node.id === this.current.id) return node.name;
    return 'world';
  }
}
