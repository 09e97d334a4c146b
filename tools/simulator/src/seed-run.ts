import type { Random, Timers } from '@synod/runtime';
import { verdictLines, type Nemesis, type World } from '@synod/simulation';
import { Broken, faultOf, textOf } from './broken';
import type { SeedFault, SeedResult } from './seed-result';
import type { Tally, Workload } from './workload/workload';

const SECOND_US = 1_000_000;

export interface SeedOptions {
  readonly seed: number;
  readonly onTraceLine?: (line: string) => void;
}

export interface SeedRunOptions<H> {
  readonly world: World;
  readonly nemesis: Nemesis;
  readonly workloads: readonly Workload<H>[];
  readonly tally: Tally;
  /** Between two operations of a client, at most. */
  readonly thinkUsMax: number;
  /** How long anything may take in a world that is healed. */
  readonly patienceUs: number;
  /** A seed that does less proves nothing. */
  readonly acknowledgedMin: number;
  /** Looked at before the world is blamed for being stuck: a cluster that found a fault of its own stops on purpose. */
  readonly excuse: () => void;
}

/** A seed at work. */
interface Area {
  /** Rejects with whatever breaks. */
  go(): Promise<void>;
  result(fault: SeedFault | undefined, cpuSeconds: number): SeedResult;
}

/** Runs a seed to its result. Never rejects. */
export async function runSeed(begin: () => Area): Promise<SeedResult> {
  const cpu = process.cpuUsage();
  const area = begin();
  let fault: SeedFault | undefined;
  try {
    await area.go();
  } catch (error) {
    fault = faultOf(error);
  }
  const { user, system } = process.cpuUsage(cpu);
  return area.result(fault, (user + system) / 1e6);
}

/** What the runs of all areas have in common: clients that work until they are told to stop, patience, and verdicts. */
export class SeedRun<H extends { readonly random: Random; readonly timers: Timers }> {
  private working = 0;
  private ending = false;

  constructor(private readonly options: SeedRunOptions<H>) {}

  /** @param hosts what clients run on, in turns */
  startClients(hosts: readonly (H | undefined)[]): void {
    let machine = 0;
    for (const workload of this.options.workloads) {
      for (let client = 0; client < workload.clients; client++) {
        this.working++;
        void this.loop(workload, hostOf(hosts[machine++ % hosts.length]), client).then(
          () => this.working--,
          (error: unknown) => this.options.world.fail(error),
        );
      }
    }
  }

  /** Lets clients go on until enough was acknowledged to be judged, and ends them. */
  async endClients(): Promise<void> {
    const { world, tally, acknowledgedMin, patienceUs } = this.options;
    // A seed whose faults left little room for work makes up for it.
    await world.run(() => tally.acknowledged >= acknowledgedMin, patienceUs);
    this.ending = true;
    await this.until('clients-answered', () => this.working === 0);
  }

  prepare(host: H | undefined): Promise<void> {
    return this.finished('prepared', async () => {
      for (const workload of this.options.workloads) await workload.prepare?.(hostOf(host));
    });
  }

  finish(host: H | undefined): Promise<void> {
    return this.finished('final-reads', async () => {
      for (const workload of this.options.workloads) await workload.finish?.(hostOf(host));
    });
  }

  /** Runs the world until something holds; it is a failure of liveness if it does not. */
  async until(name: string, condition: () => boolean): Promise<void> {
    const { world, patienceUs, excuse } = this.options;
    if (await world.run(condition, patienceUs)) return;
    excuse();
    throw new Broken('liveness', name, `not so within ${patienceUs / SECOND_US} virtual seconds`);
  }

  /** Runs the world until work is done. */
  async finished(name: string, work: () => Promise<void>): Promise<void> {
    let done = false;
    let failed: unknown;
    work().then(
      () => (done = true),
      (error: unknown) => {
        failed = error;
        done = true;
      },
    );
    await this.until(name, () => done);
    if (failed === undefined) return;
    if (failed instanceof Broken) throw failed;
    this.options.excuse();
    throw new Broken('liveness', name, textOf(failed));
  }

  checkHistories(): void {
    for (const workload of this.options.workloads) {
      for (const { name, verdict } of workload.check()) {
        if (verdict.verdict === 'legal') continue;
        const illegal = verdict.verdict === 'illegal';
        const lines = verdictLines(verdict).slice(0, 12).join('\n');
        throw new Broken(illegal ? 'history' : 'crash', illegal ? name : 'checker-undecided', lines);
      }
    }
  }

  checkFloor(): void {
    const { tally, acknowledgedMin } = this.options;
    if (tally.acknowledged >= acknowledgedMin) return;
    const message = `${tally.acknowledged} operations acknowledged, at least ${acknowledgedMin} wanted`;
    throw new Broken('floor', 'seed-floor', message);
  }

  result(fault: SeedFault | undefined, extra: Pick<SeedResult, 'cpuSeconds' | 'leaderChanges' | 'states'>): SeedResult {
    const { world, tally, nemesis } = this.options;
    return {
      seed: world.seed,
      digest: world.trace.digest(),
      virtualSeconds: world.now / SECOND_US,
      events: world.events,
      acknowledged: tally.acknowledged,
      unknown: tally.unknown,
      faults: Object.fromEntries(nemesis.counts()),
      fault,
      trace: fault === undefined ? [] : world.trace.lines(),
      ...extra,
    };
  }

  private async loop(workload: Workload<H>, host: H, client: number): Promise<void> {
    while (!this.ending) {
      await workload.step(host, client);
      const thinkUs = 1 + host.random.below(this.options.thinkUsMax);
      await new Promise<void>((resolve) => void host.timers.after(thinkUs, resolve));
    }
  }
}

function hostOf<H>(host: H | undefined): H {
  if (host === undefined) throw new Broken('crash', 'client-started', 'a client machine has no process');
  return host;
}
