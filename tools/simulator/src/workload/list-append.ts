import type { Transaction } from '@synod/client';
import { checkListAppend, History, type ListStep } from '@synod/simulation';
import { endOfFailure, Processes, type ClientHost, type Workload, type WorkloadContext } from './workload';

const LIVE_KEYS = 5;
/** A list that long is left alone and a new key begun: reading it only grows dearer. */
const APPENDS_PER_KEY = 40;
const STEPS_MAX = 4;

type DrawnStep =
  { readonly f: 'append'; readonly key: string; readonly value: number } | { readonly f: 'read'; readonly key: string };

/** Transactions that append to lists on different shards and read them: strictly serializable, as Elle decides it. */
export class ListAppend implements Workload {
  readonly name = 'list append';
  readonly clients = 4;
  private readonly history: History<readonly DrawnStep[], readonly ListStep[]>;
  private readonly processes = new Processes();
  private readonly appends = new Map<string, number>();
  private readonly live: string[] = [];
  private keys = 0;

  constructor(private readonly context: WorkloadContext) {
    this.history = new History(() => context.world.now);
    for (let index = 0; index < LIVE_KEYS; index++) this.live.push(this.newKey());
  }

  async step(host: ClientHost, client: number): Promise<void> {
    const steps = Array.from({ length: 1 + host.random.below(STEPS_MAX) }, () => this.draw(host));
    const pending = this.history.invoke(this.processes.nameOf(client), steps);
    const wanted = steps.filter((step) => step.f === 'append');
    try {
      const { value, ts } = await host.client.execute((transaction) => perform(transaction, steps));
      pending.ok(value, ts);
      this.context.tally.acknowledged++;
    } catch (error) {
      if (endOfFailure(error) === 'fail') {
        pending.fail(wanted);
        this.context.tally.failed++;
      } else {
        pending.info(wanted);
        this.processes.retire(client);
        this.context.tally.unknown++;
      }
    }
  }

  /** Reads every list to its end: a lost tail shows only so. */
  async finish(host: ClientHost): Promise<void> {
    const steps = [...this.appends.keys()].map((key) => ({ f: 'read', key }) as const);
    const pending = this.history.invoke('final', steps);
    const { value, ts } = await host.client.execute((transaction) => perform(transaction, steps));
    pending.ok(value, ts);
  }

  check() {
    return [{ name: 'strictly-serializable', verdict: checkListAppend(this.history.operations()) }];
  }

  private draw({ random }: ClientHost): DrawnStep {
    const slot = random.below(LIVE_KEYS);
    const key = this.live[slot] ?? '';
    if (random.below(2) === 0) return { f: 'read', key };
    const value = (this.appends.get(key) ?? 0) + 1;
    this.appends.set(key, value);
    if (value === APPENDS_PER_KEY) this.live[slot] = this.newKey();
    return { f: 'append', key, value };
  }

  private newKey(): string {
    const key = `list/${this.keys++}`;
    this.appends.set(key, 0);
    return key;
  }
}

/** Runs the steps in order; a list is stored as its JSON. */
async function perform(transaction: Transaction, steps: readonly DrawnStep[]): Promise<ListStep[]> {
  const done: ListStep[] = [];
  for (const step of steps) {
    const list = listOf(await transaction.get(step.key));
    if (step.f === 'read') done.push({ f: 'read', key: step.key, list });
    else {
      transaction.put(step.key, JSON.stringify([...list, step.value]));
      done.push(step);
    }
  }
  return done;
}

function listOf(bytes: Buffer | undefined): number[] {
  return bytes === undefined ? [] : (JSON.parse(bytes.toString()) as number[]);
}
