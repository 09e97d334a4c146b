import { inTurns, ratioTable, table, type Contender, type Figures, type Sample } from '../measure';
import { putCall, rangeCall, type PreparedCall } from './calls';
import { failoverMs } from './failover';
import { h2load, H2LOAD_MISSING } from './h2load';
import { http2Load } from './http2-load';
import { millionKeys, type MillionKeys } from './million-keys';
import { streamLoad } from './stream-load';
import { ETCD, SYNOD } from './system';
import { Trio } from './trio';
import { watchLatency } from './watch-latency';

const ROUNDS = 3;
const SECONDS = 4;
/** Of puts, and of reads, before the first figure: what is measured is a server that has been running for a while. */
const WARM_UP_SECONDS = 8;
const WATCHERS = 1_000;
const FAILOVERS = 5;
const KEYS = 1_000;
const INFLIGHT = [1, 64, 256];
/** Puts on their way at a time on one stream, which only our own API has. */
const STREAM_INFLIGHT = 1_024;

/** One load, put on each system in turns. */
interface Workload {
  readonly name: string;
  run(trio: Trio, leader: string, seconds: number): Promise<Sample>;
}

/**
 * The coordination service as three durable processes on this machine against three of etcd, where that is installed: the same bytes, the
 * same load generator, in turns.
 */
export async function consensusArea(say: (text: string) => void): Promise<string> {
  for (const { name, missing } of [SYNOD, ETCD]) if (missing !== undefined) say(`without ${name}: needs ${missing}`);
  say(H2LOAD_MISSING ? 'our own load generator: h2load is not installed (Debian: nghttp2-client)' : 'load by h2load');
  const trios: Trio[] = [];
  try {
    for (const system of [ETCD, SYNOD]) if (system.missing === undefined) trios.push(await Trio.start(system));
    const names = trios.map(({ system }) => system.name);
    for (const trio of trios) {
      say(`${trio.system.name}: warming up`);
      await warmUp(trio);
    }
    const rows = [header(names)];
    for (const workload of workloads()) rows.push(loadRow(workload.name, await compare(workload, trios, say)));
    say('puts as calls, and on a stream');
    const batched = await inTurns(await putsAsCallsAndOnAStream(trios), { rounds: ROUNDS, seconds: SECONDS, say });
    const others = [['', ...names]];
    others.push(
      await eachRow(`next put after SIGKILL of the leader, median of ${FAILOVERS}, ms`, trios, say, failover),
    );
    const filled: MillionKeys[] = [];
    for (const trio of trios) {
      say(`${trio.system.name}: a million keys`);
      filled.push(await millionKeys(trio));
    }
    others.push(['a million keys loaded, keys/s', ...filled.map(({ keysPerSecond }) => whole(keysPerSecond))]);
    others.push(['anonymous memory with them, MB', ...filled.map(({ memoryBytes }) => whole(memoryBytes / 1e6))]);
    others.push(['start of a member with them, ms', ...filled.map(({ startMs }) => whole(startMs))]);
    return `${table(rows)}\n\n${ratioTable(batched)}\n\n${table(others)}`;
  } finally {
    await Promise.all(trios.map((trio) => trio.remove()));
  }
}

/** The same puts at each leader: of every system as calls, and of ours on a stream. */
async function putsAsCallsAndOnAStream(trios: readonly Trio[]): Promise<Contender[]> {
  const inflight = Math.max(...INFLIGHT);
  const contenders: Contender[] = [];
  for (const trio of trios) {
    const leader = await trio.leader();
    const { name } = trio.system;
    contenders.push({
      name: `${name}: calls, ${inflight} in flight`,
      run: (seconds) => load(leader, putCall('bench'), inflight, seconds),
    });
    if (trio.system !== SYNOD) continue;
    contenders.push({
      name: `${name}: a stream, ${STREAM_INFLIGHT.toLocaleString('en')} in flight`,
      run: (seconds) => streamLoad(leader, STREAM_INFLIGHT, seconds),
    });
  }
  return contenders;
}

function load(leader: string, call: PreparedCall, inflight: number, seconds: number): Promise<Sample> {
  return H2LOAD_MISSING ? http2Load(leader, () => call, inflight, seconds) : h2load(leader, call, inflight, seconds);
}

async function warmUp(trio: Trio): Promise<void> {
  const leader = await trio.leader();
  for (const call of [putCall('bench'), rangeCall('bench', false)]) await load(leader, call, 64, WARM_UP_SECONDS);
}

function workloads(): Workload[] {
  const steady = (name: string, call: PreparedCall): Workload[] =>
    INFLIGHT.map((inflight) => ({
      name: `${name}, ${inflight} in flight`,
      run: (_, leader, seconds) => load(leader, call, inflight, seconds),
    }));
  const puts = Array.from({ length: KEYS }, (_, index) => putCall(`bench/${index}`));
  const reads = Array.from({ length: KEYS }, (_, index) => rangeCall(`bench/${index}`, false));
  let drawn = 0;
  const mixed = (): PreparedCall => {
    const calls = drawn % 10 === 0 ? puts : reads;
    return calls[drawn++ % KEYS] ?? putCall('bench');
  };
  return [
    ...steady('put', putCall('bench')),
    ...steady('linearizable read', rangeCall('bench', false)),
    ...steady('serializable read', rangeCall('bench', true)),
    {
      name: 'reads and puts 9:1, 64 in flight',
      run: (_, leader, seconds) => http2Load(leader, mixed, 64, seconds),
    },
    {
      name: `event at each of ${WATCHERS.toLocaleString('en')} watchers`,
      run: (trio, leader, seconds) => watchLatency(trio.channels, leader, WATCHERS, seconds),
    },
  ];
}

async function compare(workload: Workload, trios: readonly Trio[], say: (text: string) => void): Promise<Figures[]> {
  say(workload.name);
  const contenders = await Promise.all(
    trios.map(async (trio) => {
      const leader = await trio.leader();
      return { name: trio.system.name, run: (seconds: number) => workload.run(trio, leader, seconds) };
    }),
  );
  return inTurns(contenders, { rounds: ROUNDS, seconds: SECONDS, say });
}

async function failover(trio: Trio): Promise<string> {
  const all: number[] = [];
  for (let time = 0; time < FAILOVERS; time++) all.push(await failoverMs(trio));
  return whole(all.sort((a, b) => a - b)[Math.floor(FAILOVERS / 2)] ?? NaN);
}

async function eachRow(
  name: string,
  trios: readonly Trio[],
  say: (text: string) => void,
  measure: (trio: Trio) => Promise<string>,
): Promise<string[]> {
  const row = [name];
  for (const trio of trios) {
    say(`${trio.system.name}: ${name}`);
    row.push(await measure(trio));
  }
  return row;
}

function header(names: readonly string[]): string[] {
  const columns = names.flatMap((name) => [`${name}/s`, 'p50 ms', 'p99 ms']);
  return ['', ...columns, ...(names.length === 2 ? ['ratio'] : [])];
}

/** The ratio is the last system's rate as a multiple of the first one's. */
function loadRow(name: string, figures: readonly Figures[]): string[] {
  const cells = figures.flatMap(({ perSecond, p50Ms, p99Ms }) => [
    whole(perSecond),
    p50Ms.toFixed(2),
    p99Ms.toFixed(2),
  ]);
  const [first, second] = figures;
  if (first === undefined || second === undefined) return [name, ...cells];
  return [name, ...cells, (second.perSecond / first.perSecond).toFixed(2)];
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}
