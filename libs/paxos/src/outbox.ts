import type { ReplicaId } from './ballot';
import type { Delivery, Effects, Settled } from './effects';
import type { Message } from './messages';
import type { RareState } from './rare-states';
import type { ReplicaRecord } from './records';

const NONE: readonly never[] = Object.freeze([]);

/** What a step returns that changed nothing outside: one object for all of them. */
const NO_EFFECTS: Effects = Object.freeze({
  sendNow: NONE,
  persist: NONE,
  send: NONE,
  chosen: NONE,
  settled: NONE,
  needsSnapshot: NONE,
  reached: NONE,
});

/** Gathers the effects of one step. The parts of a replica share one, so that none hands arrays through the others. */
export class Outbox {
  private gathered: { -readonly [K in keyof Effects]?: Effects[K][number][] } | undefined;

  /** Leaves at once: it must claim nothing about this disk. */
  sendNow(to: ReplicaId, message: Message): void {
    ((this.gathered ??= {}).sendNow ??= []).push({ to, message });
  }

  /** Leaves once every record persisted so far, in this step and before, is on disk. */
  send(to: ReplicaId, message: Message): void {
    ((this.gathered ??= {}).send ??= []).push({ to, message });
  }

  persist(record: ReplicaRecord): void {
    ((this.gathered ??= {}).persist ??= []).push(record);
  }

  chosen(delivery: Delivery): void {
    ((this.gathered ??= {}).chosen ??= []).push(delivery);
  }

  settle(settled: Settled): void {
    ((this.gathered ??= {}).settled ??= []).push(settled);
  }

  needsSnapshot(from: ReplicaId): void {
    ((this.gathered ??= {}).needsSnapshot ??= []).push(from);
  }

  reached(state: RareState): void {
    const reached = ((this.gathered ??= {}).reached ??= []);
    if (!reached.includes(state)) reached.push(state);
  }

  /** @returns everything gathered since the last call; never changed afterwards */
  take(): Effects {
    if (this.gathered === undefined) return NO_EFFECTS;
    const effects = { ...NO_EFFECTS, ...this.gathered };
    this.gathered = undefined;
    return effects;
  }
}
