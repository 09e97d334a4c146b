import { Draws } from '../../draw';
import type { Outcome } from '../history';
import type { RegisterInput, RegisterOperation, RegisterOutput } from '../register';

export type RegisterDefect =
  /** A read that began after a write had been acknowledged returns the value before it. */
  | 'stale-read'
  /** An acknowledged write never takes effect. */
  | 'lost-write'
  /** A compare-and-set against an outdated value succeeds. */
  | 'two-winners';

export interface PlayOptions {
  readonly seed: number;
  readonly clients: number;
  readonly operations: number;
  readonly unknownPercent: number;
  /** Planted once, after the first quarter, where it is certain to break linearizability. */
  readonly defect?: RegisterDefect;
}

const KEYS = ['k0', 'k1', 'k2'];

/**
 * Plays clients against true registers: each operation takes effect at one instant between its call and its return. A defect is
 * planted where nothing else is open on the key, so that no other order can excuse it.
 */
export function playRegisters({ seed, clients, operations, unknownPercent, defect }: PlayOptions): RegisterOperation[] {
  const draws = new Draws(seed, 'play', 'registers');
  const plans = planned(draws, clients, operations, unknownPercent);
  const history: RegisterOperation[] = [];
  const held = new Map<string, string>();
  const before = new Map<string, string>();
  /** Keys whose present value was written while nothing else was open on them: then it is the value in every order. */
  const certain = new Set<string>();
  let revision = 0n;
  let planted = defect === undefined;
  for (const plan of [...plans].sort((a, b) => a.effectAt - b.effectAt)) {
    const { input } = plan;
    const { key } = input;
    const current = held.get(key);
    const alone = plan.known && plans.every((other) => other === plan || other.input.key !== key || apart(other, plan));
    let plant: RegisterDefect | undefined;
    if (
      !planted &&
      history.length > operations / 4 &&
      alone &&
      certain.has(key) &&
      current !== undefined &&
      before.get(key) !== current
    ) {
      if (defect === 'stale-read' && input.f === 'read') plant = defect;
      if (defect === 'two-winners' && input.f === 'cas' && input.expected !== current) plant = defect;
      if (defect === 'lost-write' && input.f === 'write' && nextIsRead(plans, plan)) plant = defect;
    }
    planted ||= plant !== undefined;
    const output = answer(input, current, plant === 'stale-read' ? before.get(key) : current, plant === 'two-winners');
    const written = writtenBy(input, output);
    if (plan.happens && written !== undefined && plant !== 'lost-write') {
      revision++;
      if (alone) certain.add(key);
      else certain.delete(key);
      if (current !== undefined) before.set(key, current);
      if (written === '') held.delete(key);
      else held.set(key, written);
    } else if (plant === 'lost-write') revision++;
    const outcome: Outcome<RegisterOutput> = plan.known
      ? { type: 'ok', at: plan.returnAt, output, position: revision }
      : { type: 'info', at: plan.returnAt };
    history.push({ index: plan.index, process: plan.process, invokedAt: plan.callAt, input, outcome });
  }
  if (!planted) throw new Error(`seed ${seed} has no place for a ${defect}`);
  return history.sort((a, b) => a.index - b.index);
}

interface Plan {
  readonly index: number;
  readonly process: string;
  readonly callAt: number;
  readonly effectAt: number;
  readonly returnAt: number;
  readonly input: RegisterInput;
  /** Whether the client is told. */
  readonly known: boolean;
  /** Whether it takes effect at all. */
  readonly happens: boolean;
}

function planned(draws: Draws, clients: number, operations: number, unknownPercent: number): Plan[] {
  const plans: Plan[] = [];
  const freeAt = Array.from({ length: clients }, () => 0);
  const lives = Array.from({ length: clients }, () => 0);
  for (let index = 0; index < operations; index++) {
    const client = freeAt.indexOf(Math.min(...freeAt));
    const callAt = (freeAt[client] ?? 0) + 1 + draws.below(600);
    // Distinct instants for distinct effects: a fraction by index.
    const effectAt = callAt + draws.below(50) + index / operations / 2;
    const returnAt = Math.ceil(effectAt) + draws.below(50);
    const known = !draws.chance(unknownPercent, 100);
    const key = draws.pick(KEYS);
    const expected = draws.chance(1, 2) ? undefined : `v${draws.below(index + 1)}`;
    const input = draws.pick<RegisterInput>([
      { f: 'read', key },
      { f: 'read', key },
      { f: 'write', key, value: `v${index}` },
      { f: 'write', key, value: `v${index}` },
      { f: 'delete', key },
      { f: 'cas', key, value: `v${index}`, ...(expected === undefined ? {} : { expected }) },
    ]);
    const process = `c${client}.${lives[client] ?? 0}`;
    plans.push({ index, process, callAt, effectAt, returnAt, input, known, happens: known || draws.chance(1, 2) });
    if (!known) lives[client] = (lives[client] ?? 0) + 1;
    freeAt[client] = returnAt;
  }
  return plans;
}

function apart(a: Plan, b: Plan): boolean {
  const end = (plan: Plan): number => (plan.known ? plan.returnAt : plan.input.f === 'read' ? 0 : Infinity);
  return end(a) < b.callAt || end(b) < a.callAt;
}

/** Whether the next effect on the key is a known read that began later: it will miss the write. */
function nextIsRead(plans: readonly Plan[], write: Plan): boolean {
  const later = plans.filter((plan) => plan.input.key === write.input.key && plan.effectAt > write.effectAt);
  const [next] = later.sort((a, b) => a.effectAt - b.effectAt);
  return (
    next?.input.f === 'read' &&
    next.known &&
    next.callAt > write.returnAt &&
    later.slice(1).every((plan) => plan.callAt > next.returnAt)
  );
}

function answer(
  input: RegisterInput,
  current: string | undefined,
  shown: string | undefined,
  lies: boolean,
): RegisterOutput {
  if (input.f === 'read') return shown === undefined ? {} : { value: shown };
  if (input.f === 'cas') return { swapped: lies || current === input.expected };
  return {};
}

/** What it leaves in the key: '' for nothing, undefined for no change. */
function writtenBy(input: RegisterInput, output: RegisterOutput): string | undefined {
  switch (input.f) {
    case 'read':
      return undefined;
    case 'write':
      return input.value;
    case 'delete':
      return '';
    case 'cas':
      return output.swapped === true ? (input.value ?? '') : undefined;
  }
}
