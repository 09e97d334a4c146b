import { compareBallots, type ReplicaId } from '../ballot';
import { changeTo, type Configuration } from '../configuration';
import type { Effects, Input } from '../effects';
import { leaseTerms } from '../leader-lease';
import type { Envelope, Value } from '../messages';
import type { ReplicaOptions } from '../options';
import { Replica } from '../replica';
import { LeaseSafety } from './lease-safety';
import { SimRandom } from './random';
import { Safety } from './safety';
import { SimNode, type NodeWorld } from './sim-node';

export interface SimOptions {
  readonly seed: number;
  readonly replicas: number;
  /** To plant a bug. */
  readonly makeReplica?: (options: ReplicaOptions) => Replica;
  /** Of what its leaders are granted; half of the seeds have such leases if absent. */
  readonly holdUs?: number;
}

interface Flying {
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  readonly input: Input;
}

/** How bad this run's world is; drawn per seed, since many lopsided worlds find more than one average world. */
interface Weather {
  readonly loss: number;
  readonly duplication: number;
  readonly reorders: boolean;
  readonly crash: number;
  readonly cut: number;
  readonly isolation: number;
  readonly leaderLost: number;
  readonly sync: number;
  readonly change: number;
  /** That a process stands still, and its clock does not. */
  readonly pause: number;
}

/** True time from one event to the next, and from one round of a healed world to the next. */
const EVENT_US = 100;
const ROUND_US = 2_000;
/** A clock may be so much too fast or too slow. */
const DRIFT_PPM = 300_000;

/** Replicas that may join a group beside its founders, one after the other. */
const SPARES = 5;
/** With fewer voters than this nobody is removed. */
const VOTERS_MIN = 2;

/** Messages in flight, at most: what is above is lost, as on a link whose queue is full. */
const FLYING_MAX = 400;

/** A Paxos group in a world of chance: messages are lost, repeated, reordered; links are cut one way; nodes forget what was not synced. */
export class SimCluster implements NodeWorld {
  readonly safety: Safety;
  readonly nodes: readonly SimNode[];
  readonly digest: string[] = [];
  private readonly random: SimRandom;
  private readonly leaseRandom: SimRandom;
  private readonly leased: boolean;
  private readonly weather: Weather;
  private flying: Flying[] = [];
  /** Messages that took the long way: they arrive when the group has long moved on. */
  private readonly late: Flying[] = [];
  private readonly cut = new Set<string>();
  /** Snapshots under way, by who gets them. */
  private readonly fetching = new Map<ReplicaId, ReplicaId>();
  private healed = false;
  private nextToken = 1;
  private nowUs = 0;
  private readonly clocks: readonly { readonly bootUs: number; readonly rate: number }[];
  /** Who stands still, for how many more events. */
  private readonly paused = new Map<ReplicaId, number>();

  constructor({ seed, replicas, makeReplica = (options) => new Replica(options), holdUs }: SimOptions) {
    const random = (this.random = new SimRandom(seed));
    this.weather = {
      loss: random.chance(0.5) ? random.below(25) / 100 : 0,
      duplication: random.chance(0.5) ? random.below(40) / 100 : 0,
      reorders: random.chance(0.5),
      crash: random.chance(0.6) ? random.below(12) / 1000 : 0,
      cut: random.chance(0.5) ? random.below(20) / 1000 : 0,
      isolation: random.chance(0.5) ? random.below(40) / 1000 : 0,
      leaderLost: random.pick([0.002, 0.01, 0.03]),
      sync: random.pick([0.05, 0.2, 0.5]),
      change: random.chance(0.5) ? random.pick([0.01, 0.04, 0.1]) : 0,
      pause: 0.002,
    };
    const limits = {
      windowInstances: random.pick([1, 3, 16]),
      queueMax: random.pick([2, 50]),
      pageBytes: random.pick([1, 60, 10_000]),
      retransmitTicks: 2,
      electionTicks: random.pick([6, 12, 50]),
      ...(random.chance(0.7) ? { tailInstances: random.pick([0, 2, 20]), tailBytes: random.pick([30, 1_000]) } : {}),
      // Every few seeds, by no chance of their own: the bugs that are planted in the others stay where they were.
      ...(seed % 5 === 0 ? { behindBytes: 200 } : {}),
    };
    const members = Array.from({ length: replicas }, (_, index) => index + 1);
    // Drawn apart, so that the seeds without leases are what they were.
    const drawn = (this.leaseRandom = new SimRandom(seed ^ 0x1ea5e));
    const hold = holdUs ?? (drawn.chance(0.5) ? drawn.pick([2_000, 10_000, 40_000]) : undefined);
    const leases = hold === undefined ? undefined : leaseTerms(hold, DRIFT_PPM);
    this.leased = leases !== undefined;
    this.safety = new Safety(members, leases && new LeaseSafety(leases, 1 + DRIFT_PPM / 1_000_000));
    const ids = Array.from({ length: replicas + (this.weather.change > 0 ? SPARES : 0) }, (_, index) => index + 1);
    this.clocks = ids.map(() => {
      return { bootUs: drawn.below(1_000_000), rate: 1 + (drawn.pick([-1, 0, 1]) * DRIFT_PPM) / 1_000_000 };
    });
    this.nodes = ids.map((self) => new SimNode({ self, members, ...limits, leases }, makeReplica, this));
  }

  run(steps: number): this {
    for (let count = 0; count < steps; count++) this.happen();
    return this;
  }

  /** Everything works from here on. @returns after how many rounds the group served again and all its replicas agreed */
  heal(roundsMax: number): number {
    this.healed = true;
    this.cut.clear();
    this.paused.clear();
    const acked = this.safety.acked;
    for (let round = 1; round <= roundsMax; round++) {
      this.settleMembers();
      this.round(round);
      const leader = this.nodes.find((node) => node.replica?.leads === true);
      if (leader !== undefined && this.safety.acked < acked + 3) this.propose(leader);
      if (this.safety.acked >= acked + 3 && this.converged()) return round;
    }
    throw new Error(`no progress after healing: ${this.nodes.map((node) => this.describe(node)).join('; ')}`);
  }

  send(from: ReplicaId, envelope: Envelope): void {
    const { to, message } = envelope;
    this.safety.left(from, envelope);
    const flying: Flying = { from, to, input: { kind: 'receive', from, message } };
    if (from === to) {
      this.nodes[to - 1]?.step(flying.input);
      return;
    }
    if (this.healed) {
      this.flying.push(flying);
      return;
    }
    if (this.cut.has(`${from}>${to}`) || this.random.chance(this.weather.loss)) return;
    this.flying.push(flying);
    if (this.random.chance(this.weather.duplication)) {
      (this.weather.reorders && this.random.chance(0.3) ? this.late : this.flying).push(flying);
    }
    if (this.flying.length > FLYING_MAX) this.flying.splice(this.random.below(this.flying.length), 1);
  }

  clockOf(node: ReplicaId): number {
    const { bootUs = 0, rate = 1 } = this.clocks[node - 1] ?? {};
    return bootUs + Math.floor(this.nowUs * rate);
  }

  durable(...[node, record]: Parameters<NodeWorld['durable']>): void {
    this.safety.durable(node, record);
  }

  effects(node: SimNode, effects: Effects): void {
    this.safety.stepped(node, effects, this.nowUs);
    for (const from of effects.needsSnapshot) if (!this.fetching.has(node.id)) this.fetching.set(node.id, from);
    for (const { instance, value } of effects.chosen) this.digest.push(`${node.id}:${instance}=${value.join()}`);
  }

  private happen(): void {
    const { random, weather } = this;
    this.nowUs += EVENT_US;
    const node = random.pick(this.nodes);
    if (this.standsStill(node)) return;
    if (random.chance(weather.crash)) this.crashSome(node);
    if (node.replica === undefined) {
      if (node.exists && random.chance(0.05)) this.restart(node);
      else if (random.chance(0.2)) this.admit(node);
      return;
    }
    // Whoever was removed is told some day; until then it goes on as if it were a member.
    if (!this.isMember(node) && random.chance(0.01)) return node.destroy();
    if (node.replica.leads && random.chance(weather.change)) this.change(node);
    if (random.chance(weather.cut)) this.changeLink();
    if (random.chance(weather.isolation) && node.replica.leads) this.isolate(node);
    if (random.chance(weather.leaderLost)) this.loseLeader(node);
    if (random.chance(weather.sync)) node.sync(1 + random.below(4));
    if (random.chance(0.02)) node.flush();
    if (random.chance(0.01)) node.cutLog();
    if (random.chance(0.05)) this.handOverState(node);
    if (random.chance(0.1) && node.replica.restless) node.step({ kind: 'tick' });
    if (random.chance(0.01)) this.listLed(node);
    if (random.chance(node.replica.role === 'follower' ? 0.01 : 0.2)) this.propose(node);
    if (random.chance(node.replica.role === 'follower' ? 0.01 : 0.15)) this.read(node);
    if (node.replica.leads && random.chance(0.008)) this.transfer(node);
    for (let count = random.below(4); count > 0; count--) this.deliver();
    if (this.late.length > 0 && random.chance(0.02))
      this.flying.push(...this.late.splice(random.below(this.late.length), 2));
  }

  private deliver(): void {
    if (this.flying.length === 0) return;
    const index = this.weather.reorders && !this.healed ? this.random.below(this.flying.length) : 0;
    const [flying] = this.flying.splice(index, 1);
    if (flying === undefined) return;
    if (this.paused.has(flying.to)) this.flying.push(flying);
    else this.nodes[flying.to - 1]?.step(flying.input);
  }

  /** Whether a node's process does nothing now; what comes for it waits. */
  private standsStill({ id, replica }: SimNode): boolean {
    for (const [other, events] of this.paused) {
      if (events === 0) this.paused.delete(other);
      else this.paused.set(other, events - 1);
    }
    const pauses = this.leased && replica !== undefined && this.leaseRandom.chance(this.weather.pause);
    if (this.leased && this.leaseRandom.chance(0.001)) this.nodes[id - 1]?.step({ kind: 'time-doubted' });
    if (pauses) this.paused.set(id, this.leaseRandom.below(250));
    return this.paused.has(id);
  }

  private propose(node: SimNode): void {
    const token = this.nextToken++;
    const value: Value = [Uint8Array.of(token >> 16, token >> 8, token)];
    this.safety.begin(token, node.id, value);
    node.step({ kind: 'propose', token, value });
  }

  private transfer(node: SimNode): void {
    const token = this.nextToken++;
    this.safety.begin(token, node.id, undefined);
    node.step({ kind: 'transfer', token, to: this.random.pick(this.nodes).id });
  }

  private read(node: SimNode): void {
    const token = this.nextToken++;
    this.safety.begin(token, node.id, undefined);
    node.step({ kind: 'read', token });
  }

  private isMember({ id }: SimNode): boolean {
    return this.safety.configuration.members.some(({ replicaId }) => replicaId === id);
  }

  /** A node that the group took in is told so, and starts. */
  private admit(node: SimNode): void {
    if (!node.exists && !node.destroyed && this.isMember(node)) node.join(this.safety.configuration);
  }

  /** The world heals: all members run, and nobody else. */
  private settleMembers(): void {
    for (const node of this.nodes) {
      if (!this.isMember(node)) {
        if (node.exists) node.destroy();
      } else if (!node.exists) this.admit(node);
      else if (node.replica === undefined) this.restart(node);
    }
  }

  /** One change, and now and then another one before the first is chosen. */
  private change(node: SimNode): void {
    for (let count = this.random.chance(0.2) ? 2 : 1; count > 0; count--) {
      const next = node.replica === undefined ? undefined : this.nextConfiguration(node.replica.configuration);
      if (next === undefined) return;
      const token = this.nextToken++;
      const configuration = { ...next, token }; // So that no two proposals are equal.
      this.safety.begin(token, node.id, changeTo(configuration));
      node.step({ kind: 'change', token, configuration });
    }
  }

  private nextConfiguration({ version, members, highestId }: Configuration): Configuration | undefined {
    const { random } = this;
    const at = random.below(members.length);
    const chosen = members[at];
    const others = members.filter((_, index) => index !== at);
    const room = highestId < this.nodes.length;
    const joins = { replicaId: highestId + 1, learner: random.chance(0.7) };
    const next = (after: typeof members, highest = highestId): Configuration => {
      return { version: version + 1, members: after, highestId: highest };
    };
    const mayGo = chosen?.learner === true || members.filter(({ learner }) => !learner).length > VOTERS_MIN;
    switch (random.below(4)) {
      case 0:
        return room ? next([...members, joins], highestId + 1) : undefined;
      case 1:
        return chosen?.learner === true ? next([...others, { ...chosen, learner: false }]) : undefined;
      case 2:
        return mayGo ? next(others) : undefined;
      default: // A replica that forgot is replaced by a learner.
        return mayGo && room ? next([...others, { ...joins, learner: true }], highestId + 1) : undefined;
    }
  }

  /** A leader's node lists what it leads; the news may come late. */
  private listLed({ id, replica }: SimNode): void {
    if (replica?.leads !== true) return;
    const { promised: ballot, chosenThrough } = replica;
    for (const { id: to } of this.nodes) {
      if (to !== id) this.flying.push({ from: id, to, input: { kind: 'led-by', ballot, chosenThrough } });
    }
  }

  /** A failure detector speaks up; if the leader's node is what fails, all of them do. */
  private loseLeader(node: SimNode): void {
    const losers = this.random.chance(0.2) ? this.nodes : [node];
    for (const loser of losers) loser.step({ kind: 'leader-lost' });
  }

  /** A leader is cut off, perhaps in one direction only, and the others notice. Its clients do not. */
  private isolate(node: SimNode): void {
    const { id } = node;
    const deaf = this.random.chance(0.7);
    const mute = !deaf || this.random.chance(0.7);
    for (const other of this.nodes) {
      if (other.id === id) continue;
      if (deaf) this.cut.add(`${other.id}>${id}`);
      if (mute) this.cut.add(`${id}>${other.id}`);
      other.step({ kind: 'leader-lost' });
    }
    // What it proposes now may be found by a later leader than the next.
    for (let count = this.random.below(6); count > 0; count--) this.propose(node);
  }

  private crashSome(node: SimNode): void {
    const victims = this.random.chance(0.05) ? this.nodes : [node];
    for (const victim of victims) {
      if (victim.replica === undefined) continue;
      victim.crash(this.random);
      this.safety.crashed(victim);
    }
  }

  private restart(node: SimNode): void {
    node.start();
    if (!node.destroyed) this.safety.restarted(node);
  }

  /** A snapshot arrives, unless one end is down or the link broke on the way. */
  private handOverState(to: SimNode): void {
    const from = this.nodes[(this.fetching.get(to.id) ?? 0) - 1];
    this.fetching.delete(to.id);
    if (from?.replica === undefined || this.cut.has(`${from.id}>${to.id}`)) return;
    if (to.replica === undefined || from.applied <= to.applied) return;
    this.safety.installed(to, from.applied);
    to.install(from, from.replica.configuration);
  }

  private changeLink(): void {
    if (this.random.chance(0.4)) return this.cut.clear();
    const from = this.random.pick(this.nodes).id;
    const to = this.random.pick(this.nodes).id;
    this.cut.add(`${from}>${to}`);
    if (this.random.chance(0.5)) this.cut.add(`${to}>${from}`);
  }

  /** One round of a healthy world: everything in flight arrives, disks finish, hosts notice leaders that are gone. */
  private round(round: number): void {
    this.nowUs += ROUND_US;
    for (let count = this.flying.length; count > 0; count--) this.deliver();
    for (const node of this.nodes) {
      node.sync(Infinity);
      if (round % 10 === 0) this.listLed(node);
      if (round % 5 === 0) node.flush();
      this.handOverState(node);
      if (node.replica?.restless === true) node.step({ kind: 'tick' });
    }
    const doubtful = this.nodes.filter((node) => node.replica !== undefined && this.doubtsLeader(node));
    if (doubtful.length > 0 && round % 10 === 5) this.random.pick(doubtful).step({ kind: 'leader-lost' });
  }

  private doubtsLeader({ replica }: SimNode): boolean {
    const believed = replica?.leaderBallot;
    if (believed === undefined) return true;
    const leader = this.nodes[believed.replica - 1]?.replica;
    return leader?.leads !== true || compareBallots(leader.promised, believed) !== 0;
  }

  private converged(): boolean {
    const members = this.nodes.filter((node) => this.isMember(node));
    const through = new Set(members.map((node) => node.applied));
    return through.size === 1 && members.every((node) => node.replica?.restless === false && !node.writing);
  }

  private describe({ id, replica, applied }: SimNode): string {
    return `${id} ${replica?.role} promised ${JSON.stringify(replica?.promised)} applied ${applied}${replica?.restless === true ? ' restless' : ''}`;
  }
}
