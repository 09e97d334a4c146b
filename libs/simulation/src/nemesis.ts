import { unreachable } from '@synod/invariant';
import type { Cancel } from '@synod/runtime';
import type { Draws } from './draw';
import { LEADER, type FaultPlan, type NemesisAction, type Target } from './fault-plan';
import type { Direction } from './network';
import type { SimNode } from './sim-node';
import type { World } from './world';

export interface NemesisOptions {
  /** Who leads something at this moment; a leader is the most interesting victim. A random server if absent or undecided. */
  readonly leader?: () => string | undefined;
}

/** Carries out a fault plan on a world, and puts things in order again. */
export class Nemesis {
  private readonly pending = new Set<Cancel>();
  private readonly tally = new Map<string, number>();
  private readonly draws: Draws;

  constructor(
    private readonly world: World,
    private readonly plan: FaultPlan,
    private readonly options: NemesisOptions = {},
  ) {
    this.draws = world.draws('nemesis', 'targets');
  }

  /** Sets the clocks wrong and schedules every action, counted from now. */
  start(): void {
    for (const { node, error } of this.plan.clocks) {
      this.world.node(node).clock.setError(error);
      this.count(error.driftPpm === 0 ? 'clock-offset' : 'clock-drift');
    }
    for (const action of this.plan.actions) this.later(action.atUs, () => this.act(action));
  }

  /**
   * Ends every fault among the given nodes, of all if absent: nothing further happens, they are started and unpaused, their links and disks
   * work, messages are no longer lost. What is broken elsewhere stays broken for good.
   */
  heal(only?: ReadonlySet<string>): void {
    for (const cancel of this.pending) cancel();
    this.pending.clear();
    this.world.network.clear(only);
    this.world.network.calm();
    for (const node of this.world.nodes.values()) {
      if (only !== undefined && !only.has(node.name)) continue;
      node.disk.slow(0);
      node.disk.mend();
      node.resume();
      node.start();
    }
  }

  /** What really happened, by kind: crashes of nodes that were down already do not count. */
  counts(): ReadonlyMap<string, number> {
    return new Map([...this.tally, ...this.world.network.counts()]);
  }

  private act(action: NemesisAction): void {
    switch (action.kind) {
      case 'crash':
        this.crash(this.targetOf(action.node), action.how, action.downUs);
        return;
      case 'crash-all':
        this.count('crash-all');
        for (const [name, downUs] of Object.entries(action.downUs))
          this.crash(this.world.node(name), action.how, downUs);
        return;
      case 'pause': {
        const node = this.targetOf(action.node);
        if (node.state !== 'running') return;
        this.count('pause');
        node.pause();
        this.later(action.forUs, () => node.resume());
        return;
      }
      case 'cut':
        this.count(action.form);
        this.cut(action.directions, action.forUs);
        return;
      case 'isolate': {
        this.count(`isolate-${action.way}`);
        this.cut(this.around(this.targetOf(action.node).name, action.way), action.forUs);
        return;
      }
      case 'clog':
        this.count('clog');
        this.clog(action.directions, action.forUs);
        return;
      case 'swizzle-clog':
        this.count('swizzle-clog');
        for (const { node, afterUs, forUs } of action.clogs) {
          this.later(afterUs, () => this.clog(this.around(node, 'both'), forUs));
        }
        return;
      case 'reset':
        this.count('reset');
        this.world.network.reset(action.a, action.b);
        return;
      case 'slow-disk':
        this.count('slow-disk');
        for (const name of action.nodes) this.slow(this.world.node(name), action.syncMeanUs, action.forUs);
        return;
      case 'clock-step':
        this.count('clock-step');
        this.world.node(action.node).clock.stepWall(action.byMs);
        return;
      default:
        unreachable(action);
    }
  }

  private crash(node: SimNode<unknown>, how: 'process' | 'power', downUs: number): void {
    if (node.state === 'down') return;
    this.count(how === 'process' ? 'crash' : 'power-cut');
    node.kill(how);
    this.later(downUs, () => node.start());
  }

  private cut(directions: readonly Direction[], forUs: number): void {
    this.world.network.cut(directions);
    this.later(forUs, () => this.world.network.uncut(directions));
  }

  private clog(directions: readonly Direction[], forUs: number): void {
    this.world.network.clog(directions);
    this.later(forUs, () => this.world.network.unclog(directions));
  }

  private slow(node: SimNode<unknown>, syncMeanUs: number, forUs: number): void {
    node.disk.slow(syncMeanUs);
    this.later(forUs, () => node.disk.slow(0));
  }

  /** The directions into a node, out of it, or both. */
  private around(name: string, way: 'in' | 'out' | 'both'): Direction[] {
    const others = [...this.world.nodes.keys()].filter((other) => other !== name);
    const into = way === 'out' ? [] : others.map((from) => ({ from, to: name }));
    const outOf = way === 'in' ? [] : others.map((to) => ({ from: name, to }));
    return [...into, ...outOf];
  }

  private targetOf(target: Target): SimNode<unknown> {
    if (target !== LEADER) return this.world.node(target);
    const servers = [...this.world.nodes.values()].filter((node) => node.role === 'server').map((node) => node.name);
    // Drawn even when not needed: whether somebody leads must not shift later draws.
    const anyone = this.draws.pick(servers);
    return this.world.node(this.options.leader?.() ?? anyone);
  }

  private later(delayUs: number, run: () => void): void {
    const cancel = this.world.after(delayUs, () => {
      this.pending.delete(cancel);
      run();
    });
    this.pending.add(cancel);
  }

  private count(kind: string): void {
    this.tally.set(kind, (this.tally.get(kind) ?? 0) + 1);
  }
}
