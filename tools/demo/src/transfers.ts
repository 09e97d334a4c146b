import { connect, OutcomeUnknownError, type SynodClient } from '@synod/client';
import { serviceDefinition } from '@synod/contracts';
import { GrpcChannels } from '@synod/rpc';
import { SynodError } from '@synod/runtime';
import type { DemoCluster } from './demo-cluster';
import { Latencies, type Report } from './report';

const TRANSFERS = 4_000;
const CLIENTS = 16;
const ACCOUNTS = 200;
const OPENING_BALANCE = 1_000;
/** Shares of the transfers acknowledged when a process is killed, and when it is started again. */
const LEADER_DIES = 0.25;
const LEADER_RETURNS = 0.35;
const STORAGE_DIES = 0.5;
const STORAGE_RETURNS = 0.7;
const STORAGE_VICTIM = 'storage-shard-2';
const SETTLE_MS = 60_000;

/** What all clients know together: how much is done, and what each account should hold. */
interface Ledger {
  acknowledged: number;
  inflight: number;
  /** Answers that were lost; each was resolved by asking for the outcome. */
  unknown: number;
  unknownCommitted: number;
  attempts: number;
  readonly balances: Map<string, number>;
}

/** Transfers between accounts of different shards, by many clients, while a consensus leader and a storage node are killed. */
export async function showTransfers(report: Report, cluster: DemoCluster): Promise<Record<string, number | string>> {
  const endpoints = cluster.addresses('consensus');
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect({ endpoints })));
  const [first] = clients as [SynodClient];
  const accounts = await spreadAccounts(first);
  const ledger: Ledger = {
    acknowledged: 0,
    inflight: 0,
    unknown: 0,
    unknownCommitted: 0,
    attempts: 0,
    balances: new Map(accounts.map(({ name }) => [name, OPENING_BALANCE])),
  };
  await inBatches(accounts, 32, ({ name }) => first.kv.put(name, String(OPENING_BALANCE)));
  const shards = new Set(accounts.map(({ shard }) => shard));
  report.say(`  ${accounts.length} accounts over ${shards.size} shards, ${CLIENTS} clients`);

  const latencies = new Latencies();
  const startedAt = performance.now();
  const working = Promise.all(clients.map((client, index) => work(client, index, accounts, ledger, latencies)));
  const troubling = trouble(report, cluster, ledger, working);
  await working;
  const seconds = (performance.now() - startedAt) / 1000;
  const kills = await troubling;

  const { shardCount } = await first.routing.ready();
  report.check(
    'transfers: accounts are spread over all shards',
    shards.size === shardCount,
    `${accounts.length} accounts on ${shards.size} of ${shardCount} shards`,
  );
  report.check('transfers: consensus leader killed and replaced', kills.leader.ok, kills.leader.detail);
  report.check('transfers: storage node killed and back', kills.storage.ok, kills.storage.detail);
  report.check(
    'transfers: every unknown answer was resolved',
    ledger.acknowledged >= TRANSFERS && ledger.inflight === 0,
    `${ledger.acknowledged} acknowledged; ${ledger.unknown} answers lost, of which ${ledger.unknownCommitted} had committed`,
  );
  await compare(report, first, ledger);
  for (const client of clients) client.close();
  return {
    ...latencies.figures(seconds),
    attempts: ledger.attempts,
    unknownResolved: ledger.unknown,
  };
}

interface Account {
  readonly name: string;
  readonly shard: number;
}

/** Accounts on every shard, as evenly as they go. */
async function spreadAccounts(client: SynodClient): Promise<Account[]> {
  const { shardCount } = await client.routing.ready();
  const most = Math.ceil(ACCOUNTS / shardCount);
  const perShard = new Map<number, number>();
  const accounts: Account[] = [];
  for (let number = 1; accounts.length < ACCOUNTS; number++) {
    const name = `account/${number}`;
    const shard = client.routing.shardOf(Buffer.from(name));
    const have = perShard.get(shard) ?? 0;
    // Every shard gets one before any gets a second.
    const round = Math.floor(accounts.length / shardCount);
    if (have > round || have >= most) continue;
    perShard.set(shard, have + 1);
    accounts.push({ name, shard });
  }
  return accounts;
}

async function work(
  client: SynodClient,
  seed: number,
  accounts: readonly Account[],
  ledger: Ledger,
  latencies: Latencies,
): Promise<void> {
  const random = generator(seed + 1);
  while (ledger.acknowledged + ledger.inflight < TRANSFERS) {
    const from = accounts[random(accounts.length)] as Account;
    const to = accounts[random(accounts.length)] as Account;
    if (from.shard === to.shard) continue;
    ledger.inflight++;
    try {
      const amount = 1 + random(20);
      if (await latencies.time(() => transfer(client, from.name, to.name, amount, ledger))) {
        ledger.balances.set(from.name, (ledger.balances.get(from.name) ?? 0) - amount);
        ledger.balances.set(to.name, (ledger.balances.get(to.name) ?? 0) + amount);
        ledger.acknowledged++;
      }
    } finally {
      ledger.inflight--;
    }
  }
}

/** @returns whether it took effect; false is certain too */
async function transfer(
  client: SynodClient,
  from: string,
  to: string,
  amount: number,
  ledger: Ledger,
): Promise<boolean> {
  try {
    const { attempts, settled } = await client.execute(async (transaction) => {
      const [have, had] = await transaction.getMany([from, to]);
      transaction.put(from, String(Number(have?.toString()) - amount));
      transaction.put(to, String(Number(had?.toString()) + amount));
    });
    ledger.attempts += attempts;
    ledger.unknown += settled;
    if (settled > 0) ledger.unknownCommitted++;
    return true;
  } catch (error) {
    if (error instanceof OutcomeUnknownError) return resolve(client, error, ledger);
    // A certain no: nothing was written, and somebody else's transfer will take its place.
    if (error instanceof SynodError && ['conflict', 'unavailable', 'overloaded'].includes(error.kind)) return false;
    throw error;
  }
}

/** Asks for the outcome until somebody can tell. */
async function resolve(client: SynodClient, lost: OutcomeUnknownError, ledger: Ledger): Promise<boolean> {
  ledger.unknown++;
  const deadline = performance.now() + SETTLE_MS;
  for (;;) {
    try {
      const { outcome } = await client.outcome(lost.txn, lost.attempt);
      const committed = outcome.state === 'committed';
      if (committed) ledger.unknownCommitted++;
      return committed;
    } catch (error) {
      if (!(error instanceof SynodError) || performance.now() > deadline) throw error;
    }
  }
}

interface Verdict {
  readonly ok: boolean;
  readonly detail: string;
}

/** Kills the consensus leader and a storage node while transfers are in flight, and starts them again. */
async function trouble(
  report: Report,
  cluster: DemoCluster,
  ledger: Ledger,
  working: Promise<unknown>,
): Promise<{ leader: Verdict; storage: Verdict }> {
  let over = false;
  const finish = (): void => void (over = true);
  working.then(finish, finish);
  const reached = async (share: number): Promise<void> => {
    while (ledger.acknowledged < TRANSFERS * share && !over) await pause(5);
  };

  await reached(LEADER_DIES);
  const old = await consensusLeader(cluster);
  const leaderDiedAt = { ...ledger };
  await cluster.supervisor.kill(old);
  report.say(`  killed ${old}, the consensus leader, at ${leaderDiedAt.acknowledged} transfers`);
  const successor = await consensusLeader(cluster);
  report.say(`  ${successor} leads consensus now`);
  await reached(LEADER_RETURNS);
  await cluster.supervisor.start([old]);
  const afterLeader = ledger.acknowledged;

  await reached(STORAGE_DIES);
  const storageDiedAt = { ...ledger };
  await cluster.supervisor.kill(STORAGE_VICTIM);
  report.say(`  killed ${STORAGE_VICTIM} at ${storageDiedAt.acknowledged} transfers`);
  await reached(STORAGE_RETURNS);
  await cluster.supervisor.start([STORAGE_VICTIM]);
  const afterStorage = ledger.acknowledged;
  await working;
  await cluster.supervisor.ready(60_000);
  return {
    leader: {
      ok: successor !== old && leaderDiedAt.inflight > 0 && afterLeader > leaderDiedAt.acknowledged,
      detail: `${old} killed at ${leaderDiedAt.acknowledged} acknowledged, ${leaderDiedAt.inflight} in flight; ${successor} leads; ${ledger.acknowledged - leaderDiedAt.acknowledged} acknowledged after`,
    },
    storage: {
      ok: storageDiedAt.inflight > 0 && afterStorage > storageDiedAt.acknowledged,
      detail: `${STORAGE_VICTIM} killed at ${storageDiedAt.acknowledged} acknowledged, ${storageDiedAt.inflight} in flight; ${ledger.acknowledged - storageDiedAt.acknowledged} acknowledged after`,
    },
  };
}

/** The id of the consensus process that leads, as a majority of the members that answer say. */
export async function consensusLeader(cluster: DemoCluster): Promise<string> {
  const channels = new GrpcChannels();
  const status = serviceDefinition('etcdserverpb.Maintenance').Status;
  const members = cluster.supervisor.running().filter(({ service }) => service === 'consensus');
  const deadline = performance.now() + 30_000;
  try {
    while (performance.now() < deadline) {
      for (const { id, address } of members) {
        try {
          const { header, leader } = await channels.callUnary(
            address,
            status,
            {},
            { deadlineMs: 1_000, idempotent: true },
          );
          // A deposed leader may still believe in itself; one that was just killed is not among the members.
          if (leader !== '0' && header?.memberId === leader) return id;
        } catch (error) {
          if (!(error instanceof SynodError)) throw error;
        }
      }
      await pause(20);
    }
    throw new SynodError('unavailable', 'no consensus member leads');
  } finally {
    channels.close();
  }
}

/** Reads all accounts back, from one snapshot, and compares them one by one. */
async function compare(report: Report, client: SynodClient, ledger: Ledger): Promise<void> {
  const names = [...ledger.balances.keys()];
  const values = await client.kv.getMany(names);
  const wrong = names.filter((name, index) => values[index]?.toString() !== String(ledger.balances.get(name)));
  const total = values.reduce((sum, value) => sum + Number(value?.toString()), 0);
  report.check(
    'transfers: every account equals the clients’ ledger',
    wrong.length === 0,
    wrong.length === 0
      ? `${names.length} accounts compared`
      : `${wrong.length} differ, such as ${wrong.slice(0, 3).join(', ')}`,
  );
  report.check(
    'transfers: no money was made or lost',
    total === ACCOUNTS * OPENING_BALANCE,
    `${total} of ${ACCOUNTS * OPENING_BALANCE}`,
  );
}

async function inBatches<T>(items: readonly T[], size: number, run: (item: T) => Promise<void>): Promise<void> {
  for (let start = 0; start < items.length; start += size) {
    await Promise.all(items.slice(start, start + size).map(run));
  }
}

/** A small generator of numbers below a bound, so that two runs move the same amounts (Marsaglia, "Xorshift RNGs", 2003). */
function generator(seed: number): (bound: number) => number {
  let state = seed * 2_654_435_761;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, ms));
}
