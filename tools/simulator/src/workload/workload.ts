import type { SynodClient } from '@synod/client';
import type { Coordination } from '@synod/coordination';
import { SynodError, type Random, type Timers } from '@synod/runtime';
import type { Verdict, World } from '@synod/simulation';

/** What a simulated client of the consensus service works with. */
export interface CoordinationClient {
  readonly coordination: Pick<Coordination, 'range' | 'transaction'>;
  readonly timestamps: { next(): Promise<bigint> };
  readonly random: Random;
  readonly timers: Timers;
}

/** What a simulated client of the whole cluster works with. */
export interface ClientHost extends CoordinationClient {
  readonly coordination: Coordination;
  readonly client: SynodClient;
}

/** Counts of what clients were told. */
export interface Tally {
  acknowledged: number;
  unknown: number;
  failed: number;
}

/**
 * Something that clients do all along, and what must hold of the answers. A checker reads only what clients saw.
 */
export interface Workload<H = ClientHost> {
  readonly name: string;
  /** How many client processes do it at once. */
  readonly clients: number;
  /** Before the faults: what must be there for the rest. */
  prepare?(host: H): Promise<void>;
  /** One operation of one client. Never rejects for what a client must live with. */
  step(host: H, client: number): Promise<void>;
  /** After everything was healed: reads that show whether tails were lost. */
  finish?(host: H): Promise<void>;
  /** Named verdicts over all that was seen. */
  check(): readonly { readonly name: string; readonly verdict: Verdict }[];
}

/** How an operation that threw ended, for its history. */
export function endOfFailure(error: unknown): 'fail' | 'info' {
  if (!(error instanceof SynodError)) throw error;
  return error.kind === 'outcome-unknown' ? 'info' : 'fail';
}

/** Names client processes: one whose operation ended unknown never speaks again, another takes its place. */
export class Processes {
  private readonly lives = new Map<number, number>();

  nameOf(client: number): string {
    return `c${client}.${this.lives.get(client) ?? 1}`;
  }

  retire(client: number): void {
    this.lives.set(client, (this.lives.get(client) ?? 1) + 1);
  }
}

export interface WorkloadContext {
  readonly world: World;
  readonly tally: Tally;
}
