import type { Instance, ReplicaId } from '../ballot';
import type { Effects, Input, Settled } from '../effects';
import type { Message, Value } from '../messages';
import type { ReplicaOptions } from '../options';
import type { ReplicaRecord } from '../records';
import { Replica } from '../replica';
import { value } from './values';

interface Flying {
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  readonly message: Message;
}

/** Replicas with fast disks and a network that does nothing by itself: for tests of who says what to whom. */
export class Group {
  readonly replicas: Replica[];
  /** What each replica delivered, by instance. */
  readonly delivered = new Map<ReplicaId, Map<Instance, Value>>();
  readonly settled: Settled[] = [];
  pool: Flying[] = [];
  private nextToken = 1;

  /** @param logs what each replica finds on its disk; their stores are empty */
  constructor(count: number, limits: Partial<ReplicaOptions> = {}, logs: readonly (readonly ReplicaRecord[])[] = []) {
    const members = Array.from({ length: count }, (_, index) => index + 1);
    this.replicas = members.map((self) => new Replica({ self, members, ...limits }));
    this.replicas.forEach((replica, index) => {
      for (const record of logs[index] ?? []) replica.restore(record);
      replica.restored(0);
    });
  }

  replica(id: ReplicaId): Replica {
    return this.replicas[id - 1] as Replica;
  }

  step(id: ReplicaId, input: Input): Effects {
    const effects = this.replica(id).step(input);
    for (const { to, message } of [...effects.sendNow, ...effects.send]) this.pool.push({ from: id, to, message });
    this.settled.push(...effects.settled);
    const delivered = this.delivered.get(id) ?? new Map<Instance, Value>();
    for (const { instance, value: chosen } of effects.chosen) delivered.set(instance, chosen);
    this.delivered.set(id, delivered);
    return effects;
  }

  receive(to: ReplicaId, from: ReplicaId, message: Message): Effects {
    return this.step(to, { kind: 'receive', from, message });
  }

  propose(id: ReplicaId, text: string): { token: number; effects: Effects } {
    const token = this.nextToken++;
    return { token, effects: this.step(id, { kind: 'propose', token, value: value(text) }) };
  }

  read(id: ReplicaId): { token: number; effects: Effects } {
    const token = this.nextToken++;
    return { token, effects: this.step(id, { kind: 'read', token }) };
  }

  /** The next replica joins, told the configuration of another one. */
  join(from: ReplicaId): void {
    const self = this.replicas.length + 1;
    const replica = new Replica({
      self,
      members: this.replicas.map((_, index) => index + 1),
      configuration: this.replica(from).configuration,
      ahead: true,
    });
    replica.restored(0);
    this.replicas.push(replica);
  }

  /** Proposes that these and no others are the voters. */
  change(id: ReplicaId, voters: readonly ReplicaId[]): number {
    const token = this.nextToken++;
    const { version, highestId } = this.replica(id).configuration;
    const configuration = {
      version: version + 1,
      members: voters.map((replicaId) => ({ replicaId, learner: false })),
      highestId: Math.max(highestId, ...voters),
    };
    this.step(id, { kind: 'change', token, configuration });
    return token;
  }

  transfer(id: ReplicaId, to: ReplicaId): number {
    const token = this.nextToken++;
    this.step(id, { kind: 'transfer', token, to });
    return token;
  }

  outcome(token: number): Settled | undefined {
    return this.settled.find((settled) => settled.token === token);
  }

  tick(id: ReplicaId, count = 1): void {
    for (let rest = count; rest > 0; rest--) this.step(id, { kind: 'tick' });
  }

  /** Delivers until nothing that passes is in flight; what does not pass is lost. */
  run(passes: (flying: Flying) => boolean = () => true): this {
    for (let next = this.pool.shift(); next !== undefined; next = this.pool.shift()) {
      if (passes(next) && next.to <= this.replicas.length) this.receive(next.to, next.from, next.message);
    }
    return this;
  }

  /** Only these hear and speak. */
  runAmong(...ids: ReplicaId[]): this {
    return this.run(({ from, to }) => ids.includes(from) && ids.includes(to));
  }

  /** Everyone loses the leader, and `id` campaigns. */
  elect(id: ReplicaId, ...among: ReplicaId[]): this {
    const ids = among.length > 0 ? among : this.replicas.map((_, index) => index + 1);
    for (const other of ids) this.step(other, { kind: 'leader-lost' });
    this.pool = this.pool.filter(({ from, message }) => from === id || message.kind !== 'probe');
    return this.runAmong(...ids);
  }
}
