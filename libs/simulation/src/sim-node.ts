import type { Clock, Disk, Log, LogFields, Probes, Random, Store, Timers, Transport } from '@synod/runtime';
import { invariant } from '@synod/invariant';
import type { Owner } from './event-heap';
import { ProcessGone } from './failure';
import { SimClock, simTimers } from './sim-clock';
import { SimDisk } from './sim-disk';
import { SimStore } from './sim-store';
import type { Trace } from './trace';
import type { World } from './world';

/** Everything impure that reaches a host, by name: what a real `main` takes from the adapters. */
export interface NodePorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly disk: Disk;
  readonly store: Store;
  readonly transport: Transport;
  readonly log: Log;
  readonly probes: Probes;
}

/** Builds the host of one incarnation, over what earlier ones left on disk. What it throws or rejects with fails the seed. */
export type MakeHost<H> = (ports: NodePorts, incarnation: number) => H | Promise<H>;

export interface NodeOptions {
  /** Clients keep nothing, so that nothing of theirs needs a disk that fails. */
  readonly role?: 'server' | 'client';
}

/** `process`: SIGKILL, the kernel lives on with its page cache. `power`: the machine loses what was not synced. */
export type CrashKind = 'process' | 'power';

/**
 * One life of a process. All its events, timers, connections and disk completions belong to it, and are skipped once it is dead:
 * its pending promises never settle, which costs nothing.
 */
export class Incarnation implements Owner {
  state: 'running' | 'suspended' | 'dead' = 'running';
  /** What came due during a pause, in order. */
  private deferred: (() => void)[] = [];

  constructor(
    /** The node's: for the trace. */
    readonly id: number,
    readonly node: string,
    /** From 1, one more with each start. */
    readonly number: number,
  ) {}

  defer(run: () => void): void {
    this.deferred.push(run);
  }

  /** Hands over something that the outside made ready: now, after a pause, or never. */
  deliver(run: () => void): void {
    if (this.state === 'running') run();
    else if (this.state === 'suspended') this.deferred.push(run);
  }

  /** Empties what waited; each is to become an event of its own. */
  takeDeferred(): (() => void)[] {
    const waiting = this.deferred;
    this.deferred = [];
    return waiting;
  }

  /** @throws {ProcessGone} in code that still runs in the turn in which its process was killed */
  mustLive(): void {
    if (this.state === 'dead') throw new ProcessGone(this.node);
  }
}

/** A machine: its disk and clocks outlive the processes that are started and killed on it. */
export class SimNode<H> {
  readonly clock: SimClock;
  readonly disk: SimDisk;
  readonly store: SimStore;
  readonly role: 'server' | 'client';
  private inc: Incarnation | undefined;
  private starts = 0;
  private built: H | undefined;
  private lastKill: CrashKind = 'process';

  constructor(
    private readonly world: World,
    /** From 1, in the order of adding. */
    readonly id: number,
    readonly name: string,
    private readonly makeHost: MakeHost<H>,
    options: NodeOptions,
  ) {
    this.role = options.role ?? 'server';
    this.clock = new SimClock(world, name);
    this.disk = new SimDisk(world, id, name);
    this.store = new SimStore(world, name, this.disk);
  }

  /** The host of the present incarnation; absent while the node is down or the host is still being built. */
  get host(): H | undefined {
    return this.built;
  }

  /** The living process, if there is one. */
  get incarnation(): Incarnation | undefined {
    return this.inc;
  }

  get state(): 'down' | 'running' | 'paused' {
    if (this.inc === undefined) return 'down';
    return this.inc.state === 'suspended' ? 'paused' : 'running';
  }

  /** Whether a machine without a process is at least there to refuse connections. */
  get powered(): boolean {
    return this.inc !== undefined || this.lastKill === 'process';
  }

  /** Starts a process, as the next event: a new host object over the old disk. Does nothing if one lives. */
  start(): void {
    if (this.inc !== undefined) return;
    const inc = new Incarnation(this.id, this.name, ++this.starts);
    this.inc = inc;
    this.note('start', inc.number);
    this.world.schedule(0, inc, () => {
      const made = this.makeHost(this.portsOf(inc), inc.number);
      if (!(made instanceof Promise)) {
        if (inc.state !== 'dead') this.built = made;
        return;
      }
      made.then(
        (host) => {
          if (inc.state !== 'dead') this.built = host;
        },
        (error: unknown) => {
          if (inc.state !== 'dead') this.world.fail(error);
        },
      );
    });
  }

  /** Ends the process at once. The caller starts it again, or not. Does nothing if there is none. */
  kill(kind: CrashKind): void {
    if (this.inc === undefined) return;
    const inc = this.inc;
    this.note('kill', kind);
    inc.state = 'dead';
    inc.takeDeferred();
    this.inc = undefined;
    this.built = undefined;
    this.lastKill = kind;
    this.disk.crash(kind);
    this.store.crash(kind);
    this.world.network.crash(inc, kind);
  }

  /** Puts an empty disk in the place of the present one; the machine must be down. */
  replaceDisk(): void {
    invariant(this.inc === undefined, 'disks-are-replaced-while-down', () => this.name);
    this.note('new disk', '');
    this.disk.replace();
    this.store.replace();
  }

  /** Stops the process while network, disk and clocks go on (SIGSTOP, a long garbage collection, a frozen virtual machine). */
  pause(): void {
    if (this.inc?.state !== 'running') return;
    this.note('pause', '');
    this.inc.state = 'suspended';
  }

  /** Lets a paused process go on: everything that came due meanwhile happens now, in order. */
  resume(): void {
    if (this.inc?.state !== 'suspended') return;
    this.note('resume', '');
    this.inc.state = 'running';
    for (const run of this.inc.takeDeferred()) this.world.schedule(0, this.inc, run);
  }

  private portsOf(inc: Incarnation): NodePorts {
    const { world, clock } = this;
    const life = `${this.name}#${inc.number}`;
    return {
      clock: { monotonicUs: () => clock.monotonicUs(), wallMs: () => clock.wallMs() },
      timers: simTimers(world, clock, life, inc),
      random: world.draws('host', life),
      disk: this.disk.port(inc),
      store: this.store.port(inc),
      transport: world.network.port(inc),
      log: this.logOf(),
      probes: world.probes,
    };
  }

  private logOf(): Log {
    const { world, name } = this;
    const write =
      (level: string) =>
      (message: string, fields?: LogFields): void => {
        world.trace.mixText(message);
        for (const field in fields) mixField(world.trace, fields[field]);
        world.trace.line(world.now, world.events, name, level, fields === undefined ? message : { message, ...fields });
      };
    return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  }

  private note(kind: string, detail: unknown): void {
    const { world } = this;
    world.trace.mixText(kind);
    world.trace.line(world.now, world.events, this.name, kind, detail);
  }
}

function mixField(trace: Trace, value: LogFields[string]): void {
  if (typeof value === 'number') trace.mix(value);
  else if (value !== undefined) trace.mixText(String(value));
}
