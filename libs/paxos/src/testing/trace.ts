import { formatBallot, NO_BALLOT, type Ballot, type Instance, type ReplicaId } from '../ballot';
import type { Configuration } from '../configuration';
import type { Effects, Input } from '../effects';
import type { Envelope } from '../messages';
import type { LeaseTerms, ReplicaLimits } from '../options';
import type { ReplicaRecord } from '../records';
import { Replica } from '../replica';
import { formatConfiguration, formatEffects, formatRecord } from './format';
import { ballot, value } from './values';

interface Node {
  replica: Replica | undefined;
  applied: Instance;
  /** What the store got by snapshot. */
  snapshotThrough: Instance;
  term: Ballot;
  log: ReplicaRecord[];
  /** Steps whose records are not on disk; only of a node whose disk is slow. */
  unsynced: Effects[];
  slowDisk: boolean;
  /** Its monotonic clock, where there are leases. */
  nowUs: number;
  /** What a replica that was not among the founders was told of its group. */
  joined?: Configuration | undefined;
}

interface Flying {
  readonly from: ReplicaId;
  readonly envelope: Envelope;
}

/** A command line: a verb, plain words, and `name=value` where a value may be a `(list,of,words)`. */
interface Command {
  readonly verb: string;
  readonly words: readonly string[];
  readonly named: ReadonlyMap<string, string>;
}

const LIMIT_NAMES: Readonly<Record<string, keyof ReplicaLimits>> = {
  window: 'windowInstances',
  queue: 'queueMax',
  retransmit: 'retransmitTicks',
  election: 'electionTicks',
  page: 'pageBytes',
  tail: 'tailInstances',
  'tail-bytes': 'tailBytes',
};

/** Steps of `run`, at most: a script that never comes to rest is broken. */
const RUN_STEPS_MAX = 1_000;

/**
 * Runs a golden trace: a command, `----`, and below it every effect the command had. Lines that start with `#` and empty lines before a
 * command are kept. Replicas are `r1`, `r2`, …; messages lie in a pool, oldest first, until a command delivers or drops them.
 *
 *     group 3 window=2           founds a group; limits by their short names; leases with `hold=1000 term=800`
 *     pass 500                   500 µs pass on every clock, or on those `of=(r1,r2)`
 *     elect r1                   every failure detector speaks up, only r1 acts on it; runs until quiet, shows none of it
 *     leader-lost r1             its failure detector speaks up
 *     propose r1 x y             two proposals
 *     read r1 a                  a read, by its name
 *     change r1 (1,2,4?)         proposes the next configuration; `?` marks a learner
 *     join r4 from=r1            starts a replica that was told r1's configuration
 *     transfer r1 r2             asks r1 to hand leadership to r2
 *     tick r1 5                  five ticks
 *     led-by r2 1.1 through=3    the node of replica 1 lists what it leads
 *     flush r1 through=5         its store holds these instances for good
 *     cut-log r1 through=5       its log begins anew, with what it must say again, shown
 *     install r3 through=5       its store got the state of a peer
 *     deliver to=(r2,r3) from=r1 kind=accept instance=1 page=0     once everything in the pool that matches
 *     drop to=r3                 loses it instead
 *     run                        delivers until the pool is empty; takes the same filters
 *     slow-disk r1 / sync r1     holds back what is to be synced / finishes it
 *     crash r1 / start r1        forgets what was not synced / replays the log; `applied=0`: its store fell back
 *     quiet                      runs until nothing happens, and shows none of it
 *     status                     of every replica
 */
export class Trace {
  private readonly nodes = new Map<ReplicaId, Node>();
  private founders: readonly ReplicaId[] = [];
  private pool: Flying[] = [];
  private limits: Partial<ReplicaLimits> = {};
  private leases: LeaseTerms | undefined;
  private readonly tokens: string[] = [];
  private output: string[] = [];

  /** @returns the script with what its commands do today in place of what it said they do */
  static rewrite(script: string): string {
    const trace = new Trace();
    const blocks = script.trimEnd().split(/\n\n+/);
    return `${blocks.map((block) => trace.block(block)).join('\n\n')}\n`;
  }

  private block(block: string): string {
    const lines = block.split('\n');
    const end = lines.indexOf('----');
    const head = end < 0 ? lines : lines.slice(0, end);
    this.output = [];
    const commands = head.filter((line) => line !== '' && !line.startsWith('#'));
    for (const line of commands) this.execute(parse(line));
    return commands.length === 0 ? head.join('\n') : [...head, '----', ...this.output].join('\n');
  }

  private execute(command: Command): void {
    const { verb, words, named } = command;
    const id = Number(words[0]?.slice(1));
    const node = this.nodes.get(id);
    switch (verb) {
      case 'group':
        return this.found(Number(words[0]), named);
      case 'deliver':
        return this.deliver(this.take(named));
      case 'drop':
        return void this.take(named);
      case 'run':
        return this.run(named);
      case 'quiet':
        this.run(named);
        this.output = [];
        return;
      case 'pass':
        for (const [each, clock] of this.nodes) {
          if (admits(named, 'of', `r${each}`)) clock.nowUs += Number(words[0]);
        }
        return;
      case 'join':
        return this.join(id, Number(named.get('from')?.slice(1)));
      case 'status':
        for (const each of this.nodes.keys()) this.status(each);
        return;
    }
    if (node === undefined) throw new Error(`no such replica: ${verb} ${words.join(' ')}`);
    switch (verb) {
      case 'elect':
        return this.elect(id);
      case 'leader-lost':
        return this.step(id, { kind: 'leader-lost' });
      case 'propose':
        for (const word of words.slice(1))
          this.step(id, { kind: 'propose', token: this.token(word), value: value(word) });
        return;
      case 'read':
        return this.step(id, { kind: 'read', token: this.token(words[1] ?? 'read') });
      case 'change':
        return this.step(id, {
          kind: 'change',
          token: this.token(`change-to-${words[1]}`),
          configuration: successor(node.replica?.configuration, words[1] ?? ''),
        });
      case 'transfer':
        return this.step(id, {
          kind: 'transfer',
          token: this.token(`to-${words[1]}`),
          to: Number(words[1]?.slice(1)),
        });
      case 'tick':
        for (let count = Number(words[1] ?? 1); count > 0; count--) this.step(id, { kind: 'tick' });
        return;
      case 'led-by':
        return this.step(id, {
          kind: 'led-by',
          ballot: ballot(words[1] ?? ''),
          chosenThrough: Number(named.get('through') ?? 0),
        });
      case 'flush':
        return this.step(id, { kind: 'truncate', flushedThrough: Number(named.get('through') ?? node.applied) });
      case 'cut-log':
        return this.cutLog(id, node, Number(named.get('through')));
      case 'install':
        node.applied = node.snapshotThrough = Number(named.get('through'));
        return this.install(id, node, named.get('from'));
      case 'slow-disk':
        node.slowDisk = true;
        return;
      case 'sync':
        node.slowDisk = false;
        for (const effects of node.unsynced.splice(0)) this.sync(id, node, effects);
        return;
      case 'crash':
        Object.assign(node, { replica: undefined, unsynced: [], slowDisk: false });
        return;
      case 'start':
        node.applied = Number(named.get('applied') ?? node.applied);
        return this.start(id, node);
      default:
        throw new Error(`unknown command: ${verb}`);
    }
  }

  private found(count: number, named: ReadonlyMap<string, string>): void {
    const [holdUs, termUs] = [named.get('hold'), named.get('term')];
    if (holdUs !== undefined) this.leases = { holdUs: Number(holdUs), termUs: Number(termUs) };
    for (const [name, value] of named) {
      if (name === 'hold' || name === 'term') continue;
      const limit = LIMIT_NAMES[name];
      if (limit === undefined) throw new Error(`unknown limit: ${name}`);
      this.limits = { ...this.limits, [limit]: Number(value) };
    }
    this.founders = Array.from({ length: count }, (_, index) => index + 1);
    for (const id of this.founders) {
      this.nodes.set(id, emptyNode());
    }
    for (const [id, node] of this.nodes) this.start(id, node);
  }

  /** @param from whose state it is; by default the configuration does not change with it */
  private install(id: ReplicaId, node: Node, from: string | undefined): void {
    const sender = from === undefined ? node : this.nodes.get(Number(from.slice(1)));
    const configuration = sender?.replica?.configuration;
    if (sender === undefined || configuration === undefined) return;
    node.term = sender.term;
    this.step(id, { kind: 'snapshot-installed', through: node.applied, term: node.term, configuration });
  }

  private join(id: ReplicaId, from: ReplicaId): void {
    const node = emptyNode();
    node.joined = this.nodes.get(from)?.replica?.configuration;
    this.nodes.set(id, node);
    this.start(id, node);
  }

  private start(self: ReplicaId, node: Node): void {
    const { joined } = node;
    const told = joined === undefined ? {} : { configuration: joined, ahead: true };
    node.replica = new Replica({ self, members: this.founders, ...told, ...this.limits, leases: this.leases });
    for (const record of node.log) node.replica.restore(record);
    node.replica.restored(node.applied, node.snapshotThrough, node.term);
  }

  private cutLog(id: ReplicaId, node: Node, through: Instance): void {
    if (node.replica === undefined) return;
    node.log = [...node.replica.hardState(through), ...node.replica.recordsAbove(through)];
    this.output.push(...node.log.map((record) => `${`r${id} log`.padEnd(16)}${formatRecord(record)}`));
  }

  private step(id: ReplicaId, input: Input): void {
    const node = this.nodes.get(id);
    if (node?.replica === undefined) return;
    if (input.kind !== 'time' && node.replica.mindsTime) this.step(id, { kind: 'time', nowUs: node.nowUs });
    const effects = node.replica.step(input);
    this.output.push(...formatEffects(`r${id}`, effects, (token) => this.tokens[token] ?? String(token)));
    for (const envelope of effects.sendNow) this.pool.push({ from: id, envelope });
    if (node.slowDisk) node.unsynced.push(effects);
    else this.sync(id, node, effects);
    const last = effects.chosen.at(-1);
    if (last !== undefined) Object.assign(node, { applied: last.instance, term: last.term });
  }

  private sync(id: ReplicaId, node: Node, { persist, send }: Effects): void {
    node.log.push(...persist);
    for (const envelope of send) this.pool.push({ from: id, envelope });
  }

  private take(named: ReadonlyMap<string, string>): Flying[] {
    const taken = this.pool.filter((flying) => matches(flying, named));
    this.pool = this.pool.filter((flying) => !taken.includes(flying));
    return taken;
  }

  private deliver(messages: readonly Flying[]): void {
    for (const { from, envelope } of messages)
      this.step(envelope.to, { kind: 'receive', from, message: envelope.message });
  }

  private run(named: ReadonlyMap<string, string>): void {
    for (let count = 0; count < RUN_STEPS_MAX; count++) {
      const next = this.pool.find((flying) => matches(flying, named));
      if (next === undefined) return;
      this.pool.splice(this.pool.indexOf(next), 1);
      this.deliver([next]);
    }
    throw new Error('the script does not come to rest');
  }

  private elect(id: ReplicaId): void {
    for (const other of this.nodes.keys()) this.step(other, { kind: 'leader-lost' });
    this.pool = this.pool.filter(({ from, envelope }) => from === id || envelope.message.kind !== 'probe');
    this.run(new Map());
    this.output = [];
  }

  private status(id: ReplicaId): void {
    const replica = this.nodes.get(id)?.replica;
    if (replica === undefined) return void this.output.push(`r${id} is down`);
    const leader = replica.leaderBallot === undefined ? 'none' : formatBallot(replica.leaderBallot);
    this.output.push(
      `r${id} ${replica.role}${replica.leads ? ' leads' : ''} promised=${formatBallot(replica.promised)} leader=${leader} ` +
        `chosen=${replica.chosenThrough}${replica.truncatedThrough > 0 ? ` truncated=${replica.truncatedThrough}` : ''}` +
        `${replica.configuration.version > 0 ? ` ${formatConfiguration(replica.configuration)}` : ''}${replica.restless ? ' restless' : ''}`,
    );
  }

  private token(name: string): number {
    return this.tokens.push(name) - 1;
  }
}

function emptyNode(): Node {
  return {
    replica: undefined,
    applied: 0,
    snapshotThrough: 0,
    term: NO_BALLOT,
    log: [],
    unsynced: [],
    slowDisk: false,
    nowUs: 0,
  };
}

/** `(1,2,4?)` as the configuration after the present one. */
function successor(current: Configuration | undefined, text: string): Configuration {
  const members = text
    .replace(/[()]/g, '')
    .split(',')
    .map((word) => ({ replicaId: Number(word.replace('?', '')), learner: word.endsWith('?') }));
  const ids = members.map(({ replicaId }) => replicaId);
  return {
    version: (current?.version ?? 0) + 1,
    members,
    highestId: Math.max(current?.highestId ?? 0, ...ids),
  };
}

function parse(line: string): Command {
  const [verb = '', ...parts] = line.split(/\s+/);
  const named = new Map<string, string>();
  const words: string[] = [];
  for (const part of parts) {
    const [, name, value] = /^([a-z-]+)=(.*)$/.exec(part) ?? [];
    if (name !== undefined && value !== undefined) named.set(name, value);
    else words.push(part);
  }
  return { verb, words, named };
}

function matches({ from, envelope }: Flying, named: ReadonlyMap<string, string>): boolean {
  const { message } = envelope;
  return (
    admits(named, 'from', `r${from}`) &&
    admits(named, 'to', `r${envelope.to}`) &&
    admits(named, 'kind', message.kind) &&
    admits(named, 'instance', 'instance' in message ? String(message.instance) : 'none') &&
    admits(named, 'page', 'page' in message ? String(message.page) : 'none')
  );
}

function admits(named: ReadonlyMap<string, string>, name: string, word: string): boolean {
  const filter = named.get(name);
  return filter === undefined || filter.replace(/[()]/g, '').split(',').includes(word);
}
