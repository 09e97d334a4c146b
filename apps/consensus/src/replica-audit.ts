import type { Group, NodeId, Position } from '@synod/replication';
import type { Cancel, Log, Timers } from '@synod/runtime';
import { encodeCommand } from './state/command-codec';
import type { ApplyResult } from './state/results';

/** Records that one step looks at; with the bytes that a step may read it keeps the turn that applies it short. */
const STEP_ENTRIES = 500;
/** Between two steps: a million keys take about seven minutes. */
const STEP_PAUSE_US = 100_000;
const FIRST_PASS_US = 10_000_000;
/** Stretches whose hashes are not yet in from all members. */
const OPEN_MAX = 64;
/** By default this long after a pass the next one begins. */
export const AUDIT_PERIOD_US = 600_000_000;

/** What a member found when it applied a check. */
export interface StateReport {
  readonly nodeId: NodeId;
  readonly position: Position;
  readonly hash: bigint;
}

/** Whose state is wrong; undefined if members differ and no majority says which of them are right. */
export type Verdict = NodeId | undefined;

/**
 * Compares the members' states, always. The leader logs checks, each of a stretch of the state; every member hashes it when it applies the
 * check, at the same place in the log, and reports to the leader. Who differs from the hash that a majority found is named.
 * Invariant `replicas-are-equal`.
 */
export class ReplicaAudit {
  private readonly open = new Map<string, Map<NodeId, bigint>>();
  private cancelStep: Cancel | undefined;
  private leading = 0;

  constructor(
    private readonly ports: { readonly timers: Timers; readonly log: Log },
    private readonly group: () => Pick<Group<ApplyResult>, 'propose' | 'status'>,
    private readonly periodUs: number,
    private readonly found: (member: Verdict) => void,
  ) {}

  lead(): void {
    this.resign();
    this.leading++;
    this.later(Math.min(FIRST_PASS_US, this.periodUs), START);
  }

  resign(): void {
    this.leading++;
    this.cancelStep?.();
    this.cancelStep = undefined;
    this.open.clear();
  }

  /** What a member found. Leads to a verdict once it is known who is right. */
  report({ nodeId, position, hash }: StateReport): void {
    const place = `${position.instance}/${position.index}`;
    let hashes = this.open.get(place);
    if (hashes === undefined) {
      this.open.set(place, (hashes = new Map<NodeId, bigint>()));
      this.closeOldest(OPEN_MAX);
    }
    hashes.set(nodeId, hash);
    const verdicts = judge(hashes, this.group().status().members.length);
    for (const verdict of verdicts) this.tell(place, verdict);
  }

  /** Judges by what is in: some members never told, so that there may be no majority; that members differ is known all the same. */
  private closeOldest(openMax: number): void {
    for (const [place, hashes] of this.open) {
      if (this.open.size <= openMax) return;
      this.open.delete(place);
      for (const verdict of judge(hashes, hashes.size)) this.tell(place, verdict);
    }
  }

  private tell(place: string, member: Verdict): void {
    this.ports.log.error('the states of members differ', { place, wrong: member ?? 'unknown' });
    this.found(member);
  }

  private later(delayUs: number, start: Buffer): void {
    const { leading } = this;
    this.cancelStep = this.ports.timers.after(delayUs, () => void this.step(start, leading));
  }

  private async step(start: Buffer, leading: number): Promise<void> {
    // Whoever has not told by the next pass does not run.
    if (start === START) this.closeOldest(0);
    const proposed = await this.group().propose(encodeCommand({ kind: 'check-state', start, entries: STEP_ENTRIES }));
    if (this.leading !== leading) return;
    // One that was not chosen, or nobody knows, is left out: the next pass comes by again.
    const next =
      proposed.kind === 'applied' && proposed.result.kind === 'state-checked' ? proposed.result.next : undefined;
    if (next === undefined) this.later(this.periodUs, START);
    else this.later(Math.min(STEP_PAUSE_US, this.periodUs), next);
  }
}

const START = Buffer.alloc(0);

/** @param voters whose hashes a majority is counted of */
function judge(hashes: ReadonlyMap<NodeId, bigint>, voters: number): Verdict[] {
  const byHash = new Map<bigint, NodeId[]>();
  for (const [nodeId, hash] of hashes) byHash.set(hash, [...(byHash.get(hash) ?? []), nodeId]);
  if (byHash.size < 2) return [];
  const right = [...byHash].find(([, members]) => members.length > voters / 2);
  if (right !== undefined) return [...hashes.keys()].filter((nodeId) => hashes.get(nodeId) !== right[0]);
  return hashes.size >= voters ? [undefined] : [];
}
