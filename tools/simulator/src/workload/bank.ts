import { checkBank, History } from '@synod/simulation';
import { endOfFailure, Processes, type ClientHost, type Workload, type WorkloadContext } from './workload';

const ACCOUNTS = Array.from({ length: 8 }, (_, index) => `bank/${index}`);
const OPENING_BALANCE = 100;

/** Transfers between accounts on different shards, and reads of all of them: money is neither made nor lost, at any moment. */
export class Bank implements Workload {
  readonly name = 'bank';
  readonly clients = 3;
  private readonly history: History<'transfer' | 'read', { readonly balances?: ReadonlyMap<string, number> }>;
  private readonly processes = new Processes();

  constructor(private readonly context: WorkloadContext) {
    this.history = new History(() => context.world.now);
  }

  async prepare({ client }: ClientHost): Promise<void> {
    await client.transaction(async (transaction) => {
      for (const account of ACCOUNTS) transaction.put(account, String(OPENING_BALANCE));
    });
  }

  async step(host: ClientHost, client: number): Promise<void> {
    const reads = host.random.below(3) === 0;
    const pending = this.history.invoke(this.processes.nameOf(client), reads ? 'read' : 'transfer');
    try {
      if (reads) pending.ok({ balances: await readAll(host) });
      else {
        await transfer(host);
        pending.ok({});
      }
      this.context.tally.acknowledged++;
    } catch (error) {
      if (endOfFailure(error) === 'fail') {
        pending.fail();
        this.context.tally.failed++;
      } else {
        pending.info();
        this.processes.retire(client);
        this.context.tally.unknown++;
      }
    }
  }

  async finish(host: ClientHost): Promise<void> {
    const pending = this.history.invoke('final', 'read');
    pending.ok({ balances: await readAll(host) });
  }

  check() {
    const verdict = checkBank(this.history.operations(), ACCOUNTS.length * OPENING_BALANCE);
    return [{ name: 'bank-total-constant', verdict }];
  }
}

async function readAll({ client }: ClientHost): Promise<Map<string, number>> {
  const values = await client.transaction((transaction) => transaction.getMany(ACCOUNTS));
  return new Map(ACCOUNTS.map((account, index) => [account, Number(values[index]?.toString())]));
}

async function transfer({ client, random }: ClientHost): Promise<void> {
  const from = random.below(ACCOUNTS.length);
  const to = (from + 1 + random.below(ACCOUNTS.length - 1)) % ACCOUNTS.length;
  const amount = 1 + random.below(10);
  const [debtor, creditor] = [ACCOUNTS[from] ?? '', ACCOUNTS[to] ?? ''];
  await client.transaction(async (transaction) => {
    const [have, had] = await transaction.getMany([debtor, creditor]);
    const left = Number(have?.toString()) - amount;
    if (left < 0) return;
    transaction.put(debtor, String(left));
    transaction.put(creditor, String(Number(had?.toString()) + amount));
  });
}
