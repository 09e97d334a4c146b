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

/** A report with the number that its member had when it came in: by the time of a verdict the node may be another replica, with a state of its own. */
interface Found {
  readonly nodeId: NodeId;
  readonly member: bigint;
  readonly hash: bigint;
}

/** Whose state is wrong; undefined if members differ and no majority says which of them are right. */
type Verdict = Found | undefined;

/**
 * Compares the members' states, always. The leader logs checks, each of a stretch of the state; every member hashes it when it applies the
 * check, at the same place in the log, and reports to the leader. Who differs from the hash that a majority found is named.
 * Invariant `replicas-are-equal`.
 */
export class ReplicaAudit {
  private readonly open = new Map<string, Map<NodeId, Found>>();
  private cancelStep: Cancel | undefined;
  private leading = 0;

  constructor(
    private readonly ports: { readonly timers: Timers; readonly log: Log },
    private readonly group: () => Pick<Group<ApplyResult>, 'propose' | 'status'>,
    private readonly periodUs: number,
    /** By which clients, and alarms, know a member. */
    private readonly memberNumber: (nodeId: NodeId) => bigint,
    /** Of the member whose state is wrong; 0 if nobody knows whose it is. */
    private readonly found: (member: bigint) => void,
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
      this.open.set(place, (hashes = new Map<NodeId, Found>()));
      this.closeOldest(OPEN_MAX);
    }
    hashes.set(nodeId, { nodeId, member: this.memberNumber(nodeId), hash });
    const verdicts = judge(hashes, this.group().status().members.length);
    for (const verdict of verdicts) this.tell(place, verdict);
  }

  /** Judges by what is in. Some members never told: if no majority of all agrees, it is known that members differ, and not which. */
  private closeOldest(openMax: number): void {
    for (const [place, hashes] of this.open) {
      if (this.open.size <= openMax) return;
      this.open.delete(place);
      const { length } = this.group().status().members;
      for (const verdict of judge(hashes, length, true)) this.tell(place, verdict);
    }
  }

  private tell(place: string, wrong: Verdict): void {
    this.ports.log.error('the states of members differ', { place, wrong: wrong?.nodeId ?? 'unknown' });
    this.found(wrong?.member ?? 0n);
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

/**
 * @param members of whom a majority is counted
 * @param final no more hashes will come in
 */
function judge(hashes: ReadonlyMap<NodeId, Found>, members: number, final = false): Verdict[] {
  const byHash = new Map<bigint, Found[]>();
  for (const found of hashes.values()) byHash.set(found.hash, [...(byHash.get(found.hash) ?? []), found]);
  if (byHash.size < 2) return [];
  const right = [...byHash.values()].find((found) => found.length > members / 2);
  if (right !== undefined) return [...hashes.values()].filter((found) => !right.includes(found));
  return final || hashes.size >= members ? [undefined] : [];
}
