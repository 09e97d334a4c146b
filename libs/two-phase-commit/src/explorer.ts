import { InvariantViolation } from '@synod/invariant';
import { Coordinator, type CoordinatorEffect, type CoordinatorInput, type Reply, type Vote } from './coordinator';
import { fateOf } from './decision';
import { MemoryShard } from './memory-shard';
import { obstacle, type Work } from './participant';
import type { Key, ShardId, Timestamp, TxnHandle } from './words';

/**
 * Every schedule of a few transactions over a few shards, one atomic step at a time: a model of the hosts around this core, small
 * enough to try everything (Lamport, "Specifying Systems", ch. 14, is the idea). The core itself is the real one.
 */
export interface Scope {
  readonly transactions: readonly Plan[];
  /** Rules left out, to see that the check notices. */
  readonly without?: ReadonlySet<Rule>;
}

/** What one transaction does. Without writes it is a reader: it ends with its last read. */
export interface Plan {
  readonly name: string;
  readonly reads: readonly Key[];
  readonly writes: readonly Key[];
  /** Somebody may take its coordinator for dead, at any time. */
  readonly recovered: boolean;
}

export type Rule =
  | 'readers-wait-for-intents'
  | 'readers-wait-for-latches'
  | 'reads-are-validated'
  | 'reads-are-locked'
  | 'timestamps-after-locks'
  | 'every-vote'
  | 'recovery-asks-the-record';

export interface Exploration {
  readonly states: number;
  /** What clients could see go wrong, each kind once, with the shortest schedule found for it. */
  readonly violations: ReadonlyMap<string, readonly string[]>;
}

/** Key `a` is of shard 0, `b` of shard 1, and so on. */
function shardOf(key: Key): ShardId {
  return key.charCodeAt(0) - 'a'.charCodeAt(0);
}

/** One participant's part in a transaction's commit. */
type Leg =
  | { readonly at: 'waiting' }
  /** Only without the rule `timestamps-after-locks`. */
  | { readonly at: 'stamped'; readonly prepTs: Timestamp }
  | { readonly at: 'latched'; readonly prepTs: Timestamp | undefined }
  | { readonly at: 'voted' };

interface Running {
  readonly begun: boolean;
  readonly readTs: Timestamp;
  /** Acknowledged before this one began. */
  readonly after: readonly string[];
  readonly seen: readonly { readonly key: Key; readonly version: Timestamp }[];
  readonly legs: readonly { readonly shard: ShardId; readonly leg: Leg }[];
  /** What the coordinator was given so far: it is rebuilt from this, as it keeps no other state. */
  readonly inputs: readonly CoordinatorInput[];
  /** What the coordinator asks of the anchor now. */
  readonly asks: Ask | undefined;
  readonly reply: Reply | undefined;
  readonly recovery: boolean;
}

type Ask = CoordinatorEffect & { kind: 'decide' };

interface State {
  readonly now: Timestamp;
  readonly shards: readonly MemoryShard[];
  readonly running: readonly Running[];
}

const NOT_BEGUN: Running = {
  begun: false,
  readTs: 0n,
  after: [],
  seen: [],
  legs: [],
  inputs: [],
  asks: undefined,
  reply: undefined,
  recovery: false,
};

/** @throws {Error} if there are more than `statesMax` */
export function explore(scope: Scope, statesMax = 2_000_000): Exploration {
  const model = new Model(scope);
  const violations = new Map<string, readonly string[]>();
  const seen = new Set<string>();
  let level: { state: State; path: Path }[] = [{ state: model.start(), path: undefined }];
  // Breadth first: the first schedule found for a violation is a shortest one.
  while (level.length > 0) {
    const next: typeof level = [];
    for (const { state, path } of level) {
      const steps = model.steps(state);
      if (steps.length === 0)
        for (const name of model.verdict(state)) if (!violations.has(name)) violations.set(name, trail(path));
      for (const { label, take } of steps) {
        const reached = attempt(take);
        if (typeof reached === 'string') {
          if (!violations.has(reached)) violations.set(reached, [...trail(path), label]);
          continue;
        }
        const key = model.fingerprint(reached);
        if (seen.has(key)) continue;
        seen.add(key);
        if (seen.size > statesMax) throw new Error(`more than ${statesMax} states: choose a smaller scope`);
        next.push({ state: reached, path: { label, before: path } });
      }
    }
    level = next;
  }
  return { states: seen.size, violations };
}

type Path = { readonly label: string; readonly before: Path } | undefined;

function trail(path: Path): string[] {
  return path === undefined ? [] : [...trail(path.before), path.label];
}

/** @returns the name of the invariant that the step broke, if it did */
function attempt(take: () => State): State | string {
  try {
    return take();
  } catch (error) {
    if (error instanceof InvariantViolation) return error.invariant;
    throw error;
  }
}

interface Step {
  readonly label: string;
  readonly take: () => State;
}

class Model {
  constructor(private readonly scope: Scope) {}

  start(): State {
    const shards =
      Math.max(...this.scope.transactions.flatMap(({ reads, writes }) => [...reads, ...writes].map(shardOf))) + 1;
    return {
      now: 0n,
      shards: Array.from({ length: shards }, (_, shard) => new MemoryShard(shard)),
      running: this.scope.transactions.map(() => NOT_BEGUN),
    };
  }

  steps(state: State): Step[] {
    return this.scope.transactions.flatMap((plan, index) => this.stepsOf(state, plan, index));
  }

  /** Equal for states that differ in nothing but how far apart their timestamps are: only their order matters. */
  fingerprint({ shards, running }: State): string {
    const text = [...shards, ...running].map(textOf).join('#');
    const ranks = new Map<string, string>();
    const order = [...new Set(text.match(TIMESTAMP))].sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
    order.forEach((timestamp, rank) => ranks.set(timestamp, `@${rank}`));
    return text.replace(TIMESTAMP, (timestamp) => ranks.get(timestamp) ?? timestamp);
  }

  private stepsOf(state: State, plan: Plan, index: number): Step[] {
    const me = state.running[index] as Running;
    const step = (what: string, take: () => State): Step => ({ label: `${plan.name} ${what}`, take });
    if (!me.begun) return [step('begins', () => this.begin(state, index))];
    const key = plan.reads[me.seen.length];
    if (key !== undefined) {
      return this.readable(state, me, key) ? [step(`reads ${key}`, () => this.read(state, index, key))] : [];
    }
    if (plan.writes.length === 0) return [];
    const steps = me.legs.flatMap(({ shard, leg }) => this.legSteps(state, plan, index, shard, leg));
    const handle = handleOf(plan);
    const { asks } = me;
    if (asks !== undefined) steps.push(step('decides', () => this.decide(state, plan, index, asks)));
    const anchor = state.shards[handle.anchor] as MemoryShard;
    const record = anchor.decision(handle);
    state.shards.forEach((shard) => {
      if (record.state === 'none' || shard.participation(handle).phase !== 'prepared') return;
      steps.push(
        step(`is resolved at ${shard.id}`, () => onShard(state, shard.id, (copy) => copy.resolve(handle, record))),
      );
    });
    const inDoubt = state.shards.some((shard) => shard.participation(handle).phase === 'prepared');
    if (plan.recovered && !me.recovery && inDoubt && record.state === 'none') {
      steps.push(step('is taken for dead', () => this.recover(state, plan, index)));
    }
    return steps;
  }

  private begin(state: State, index: number): State {
    const after = this.scope.transactions.filter((plan, other) => acknowledged(plan, state.running[other] as Running));
    const now = state.now + 1n;
    const plan = this.scope.transactions[index] as Plan;
    const shards = new Set([...plan.reads, ...plan.writes].map(shardOf));
    const legs =
      plan.writes.length === 0 ? [] : [...shards].map((shard) => ({ shard, leg: { at: 'waiting' } as const }));
    const inputs: CoordinatorInput[] = [{ kind: 'start' }];
    const me = { ...NOT_BEGUN, begun: true, readTs: now, after: after.map(({ name }) => name), legs, inputs };
    return { ...state, now, running: replace(state.running, index, me) };
  }

  /** The reader's rule: nothing may commit below it any more. */
  private readable(state: State, me: Running, key: Key): boolean {
    const latched = state.running.some(({ legs }, other) => {
      const leg = legs.find(({ shard }) => shard === shardOf(key))?.leg;
      return leg?.at === 'latched' && (this.scope.transactions[other] as Plan).writes.includes(key);
    });
    if (latched && this.holds('readers-wait-for-latches')) return false;
    const intent = (state.shards[shardOf(key)] as MemoryShard).intent(key);
    return intent === undefined || intent.prepTs > me.readTs || !this.holds('readers-wait-for-intents');
  }

  private read(state: State, index: number, key: Key): State {
    const me = state.running[index] as Running;
    const version = (state.shards[shardOf(key)] as MemoryShard).versionAt(key, me.readTs)?.commitTs ?? 0n;
    const { reads, writes } = this.scope.transactions[index] as Plan;
    // A writer's read timestamp means nothing after its last read: forgetting it makes states equal that are.
    const readTs = writes.length > 0 && me.seen.length + 1 === reads.length ? 0n : me.readTs;
    return {
      ...state,
      running: replace(state.running, index, { ...me, readTs, seen: [...me.seen, { key, version }] }),
    };
  }

  private legSteps(state: State, plan: Plan, index: number, shard: ShardId, leg: Leg): Step[] {
    const step = (what: string, take: () => State): Step => ({ label: `${plan.name} ${what} at ${shard}`, take });
    const to = (next: Leg, at = state): State => this.withLeg(at, index, shard, next);
    const stamp = (next: (prepTs: Timestamp) => Leg): State =>
      to(next(state.now + 1n), { ...state, now: state.now + 1n });
    switch (leg.at) {
      case 'waiting':
        if (!this.holds('timestamps-after-locks'))
          return [step('takes its timestamp', () => stamp((prepTs) => ({ at: 'stamped', prepTs })))];
        return [step('latches', () => this.latch(state, plan, index, shard, undefined))];
      case 'stamped':
        return [step('latches', () => this.latch(state, plan, index, shard, leg.prepTs))];
      case 'latched': {
        const { prepTs } = leg;
        if (prepTs === undefined)
          return [step('takes its timestamp', () => stamp((ts) => ({ at: 'latched', prepTs: ts })))];
        return [step('prepares', () => this.prepare(state, plan, index, shard, prepTs))];
      }
      case 'voted':
        return [];
    }
  }

  private latch(state: State, plan: Plan, index: number, shard: ShardId, prepTs: Timestamp | undefined): State {
    const work = this.work(state, plan, index, shard);
    const conflict = state.running.some(({ legs }, other) => {
      if (other === index || legs.find((their) => their.shard === shard)?.leg.at !== 'latched') return false;
      const theirs = this.scope.transactions[other] as Plan;
      const touches = (keys: readonly Key[], others: readonly Key[]): boolean =>
        keys.some((key) => shardOf(key) === shard && others.includes(key));
      return touches(plan.writes, [...theirs.writes, ...theirs.reads]) || touches(plan.reads, theirs.writes);
    });
    const found = obstacle(state.shards[shard] as MemoryShard, work);
    if (!conflict && found === undefined) return this.withLeg(state, index, shard, { at: 'latched', prepTs });
    const vote: Vote = found?.kind === 'decided' ? found : { kind: 'no', reason: 'conflict' };
    return this.vote(state, plan, index, shard, vote);
  }

  private prepare(state: State, plan: Plan, index: number, shard: ShardId, prepTs: Timestamp): State {
    const work = this.work(state, plan, index, shard);
    let vote: Vote = { kind: 'no', reason: 'conflict' };
    const prepared = onShard(state, shard, (copy) => {
      const outcome = copy.prepare(work, prepTs);
      if (outcome.kind === 'prepared') vote = { kind: 'yes', prepTs: outcome.prepTs };
      if (outcome.kind === 'decided') vote = outcome;
    });
    return this.vote(prepared, plan, index, shard, vote);
  }

  private vote(state: State, plan: Plan, index: number, shard: ShardId, vote: Vote): State {
    const voted = this.withLeg(state, index, shard, { at: 'voted' });
    const counted = give(voted, plan, index, { kind: 'voted', shard, vote });
    if (this.holds('every-vote') || vote.kind !== 'yes') return counted;
    // Without the rule, the first yes speaks for all.
    const others = (counted.running[index] as Running).legs.filter((leg) => leg.shard !== shard);
    return others.reduce((at, other) => give(at, plan, index, { kind: 'voted', shard: other.shard, vote }), counted);
  }

  private decide(state: State, plan: Plan, index: number, asks: Ask): State {
    const handle = handleOf(plan);
    let record = asks.proposal;
    // With a rule left out, the anchor's own assertion would hide what clients see.
    const participants = this.scope.without === undefined ? asks.participants : [];
    const decided = onShard(state, handle.anchor, (copy) => {
      record = copy.decide(handle, asks.proposal, participants);
    });
    return give(decided, plan, index, { kind: 'decided', record });
  }

  private recover(state: State, plan: Plan, index: number): State {
    const handle = handleOf(plan);
    const me = state.running[index] as Running;
    const marked = { ...state, running: replace(state.running, index, { ...me, recovery: true }) };
    if (this.holds('recovery-asks-the-record')) {
      return onShard(marked, handle.anchor, (copy) => copy.decide(handle, { state: 'aborted', attempt: 1 }));
    }
    // Without the record: whoever meets the intents drops them, and says nothing to the anchor.
    return marked.shards.reduce<State>(
      (at, { id }) =>
        (at.shards[id] as MemoryShard).participation(handle).phase === 'prepared'
          ? onShard(at, id, (copy) => copy.resolve(handle, { state: 'aborted', attempt: 1 }))
          : at,
      marked,
    );
  }

  private work(state: State, plan: Plan, index: number, shard: ShardId): Work<string> {
    const here = (key: Key): boolean => shardOf(key) === shard;
    const view = state.shards[shard] as MemoryShard;
    const seen = (state.running[index] as Running).seen.filter(({ key }) => here(key));
    const validated = this.holds('reads-are-validated')
      ? seen
      : seen.map(({ key }) => ({ key, version: view.newestVersion(key) }));
    const stale = validated.some(({ key, version }) => view.newestVersion(key) !== version);
    return {
      attempt: { txn: handleOf(plan), attempt: 1, priority: BigInt(index) },
      reads: this.holds('reads-are-locked') || stale ? validated : [],
      writes: plan.writes.filter(here).map((key) => ({ key, value: plan.name })),
    };
  }

  private withLeg(state: State, index: number, shard: ShardId, leg: Leg): State {
    const me = state.running[index] as Running;
    const legs = me.legs.map((each) => (each.shard === shard ? { shard, leg } : each));
    return { ...state, running: replace(state.running, index, { ...me, legs }) };
  }

  private holds(rule: Rule): boolean {
    return this.scope.without?.has(rule) !== true;
  }

  /** What is wrong once nothing can happen any more, by what clients were told and read. */
  verdict(state: State): string[] {
    const wrong = new Set<string>();
    const places = this.scope.transactions.map((plan, index) => placeOf(plan, state.running[index] as Running, state));
    if (!state.shards.every((shard) => shard.quiet)) wrong.add('an intent is left behind');
    this.scope.transactions.forEach((plan, index) => {
      const me = state.running[index] as Running;
      const place = places[index];
      if (!acknowledged(plan, me) && place === undefined && me.reply === undefined) wrong.add('a transaction is stuck');
      if (place === undefined) return;
      for (const name of me.after) {
        const other = places[this.scope.transactions.findIndex((each) => each.name === name)];
        if (other !== undefined && other >= place) wrong.add('real time is violated');
      }
      for (const { key, version } of me.seen) {
        const current = (state.shards[shardOf(key)] as MemoryShard)
          .versions(key)
          .find(({ commitTs, value }) => value !== plan.name && commitTs <= place);
        if ((current?.commitTs ?? 0n) !== version) wrong.add('a read is not the newest at its place');
      }
      const written = plan.writes.filter((key) =>
        (state.shards[shardOf(key)] as MemoryShard)
          .versions(key)
          .some(({ value, commitTs }) => value === plan.name && commitTs === place),
      );
      if (written.length !== plan.writes.length) wrong.add('an acknowledged write is lost');
    });
    this.scope.transactions.forEach((plan, index) => {
      const { reply } = state.running[index] as Running;
      const visible = plan.writes.some((key) =>
        (state.shards[shardOf(key)] as MemoryShard).versions(key).some(({ value }) => value === plan.name),
      );
      if (reply?.kind === 'outcome' && reply.outcome.state === 'aborted' && visible)
        wrong.add('an aborted write is visible');
    });
    return [...wrong];
  }
}

function handleOf(plan: Plan): TxnHandle {
  return { id: plan.name, anchor: shardOf([...plan.writes].sort()[0] ?? 'a') };
}

function participantsOf(plan: Plan): ShardId[] {
  return [...new Set([...plan.reads, ...plan.writes].map(shardOf))].sort((a, b) => a - b);
}

function give(state: State, plan: Plan, index: number, input: CoordinatorInput): State {
  const me = state.running[index] as Running;
  if (input.kind === 'voted' && me.asks !== undefined) return state; // Too late to count.
  // Votes commute: one order for all makes states equal that are.
  const inputs = [...me.inputs, input].sort((x, y) => Math.sign(orderOf(x) - orderOf(y)) || 0);
  const coordinator = new Coordinator({ txn: handleOf(plan), attempt: 1, participants: participantsOf(plan) }, 0);
  const effects = inputs.flatMap((each) => coordinator.step(each));
  const reply = effects.find((effect) => effect.kind === 'reply')?.reply;
  const asks = coordinator.phase === 'deciding' ? effects.findLast((effect) => effect.kind === 'decide') : undefined;
  return { ...state, running: replace(state.running, index, { ...me, inputs, reply, asks }) };
}

function orderOf(input: CoordinatorInput): number {
  if (input.kind === 'start') return -1;
  return input.kind === 'voted' && input.vote.kind === 'yes' ? input.shard : Infinity;
}

function acknowledged(plan: Plan, me: Running): boolean {
  if (plan.writes.length === 0) return me.begun && me.seen.length === plan.reads.length;
  return me.reply?.kind === 'outcome' && me.reply.outcome.state === 'committed';
}

/** Where a transaction that clients may rely on stands in the serial order. */
function placeOf(plan: Plan, me: Running, state: State): Timestamp | undefined {
  if (plan.writes.length === 0) return acknowledged(plan, me) ? me.readTs : undefined;
  if (me.reply?.kind === 'outcome' && me.reply.outcome.state === 'committed') return me.reply.outcome.commitTs;
  const handle = handleOf(plan);
  const record = (state.shards[handle.anchor] as MemoryShard).decision(handle);
  return record.state === 'committed' && fateOf(1, record) === 'committed' ? record.commitTs : undefined;
}

function onShard(state: State, shard: ShardId, change: (copy: MemoryShard) => void): State {
  const copy = (state.shards[shard] as MemoryShard).clone();
  change(copy);
  return { ...state, shards: replace(state.shards, shard, copy) };
}

function replace<T>(list: readonly T[], index: number, item: T): T[] {
  return list.map((each, at) => (at === index ? item : each));
}

/** Parts are never changed once made, so each is put into words once. */
const texts = new WeakMap<object, string>();

function textOf(part: MemoryShard | Running): string {
  let text = texts.get(part);
  if (text === undefined) {
    text = part instanceof MemoryShard ? part.fingerprint() : JSON.stringify(part, bigintAsText);
    texts.set(part, text);
  }
  return text;
}

const TIMESTAMP = /@\d+/g;

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `@${value}` : value;
}
