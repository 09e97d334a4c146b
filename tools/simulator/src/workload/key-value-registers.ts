import {
  asAtomic,
  checkRegisters,
  checkWitnessOrder,
  History,
  type RegisterInput,
  type RegisterOutput,
} from '@synod/simulation';
import { endOfFailure, Processes, type ClientHost, type Workload, type WorkloadContext } from './workload';

const KEYS = ['kv/a', 'kv/b', 'kv/c', 'kv/d'];
const OPERATIONS_PER_GENERATION = 120;

/** Single keys of the sharded store: each read and each write a transaction of its own, in order of their timestamps. */
export class KeyValueRegisters implements Workload {
  readonly name = 'key-value registers';
  readonly clients = 3;
  private readonly history: History<RegisterInput, RegisterOutput>;
  private readonly processes = new Processes();
  private counter = 0;

  constructor(private readonly context: WorkloadContext) {
    this.history = new History(() => context.world.now);
  }

  async step({ client: synod, random }: ClientHost, client: number): Promise<void> {
    const number = this.counter++;
    const key = `${KEYS[random.below(KEYS.length)]}/${Math.floor(number / OPERATIONS_PER_GENERATION)}`;
    const value = `v${number}`;
    const chance = random.below(8);
    const input: RegisterInput =
      chance === 0 ? { f: 'delete', key } : chance < 4 ? { f: 'write', key, value } : { f: 'read', key };
    const pending = this.history.invoke(this.processes.nameOf(client), input);
    try {
      const { value: read, ts } = await synod.execute(async (transaction) => {
        if (input.f === 'read') return (await transaction.get(key))?.toString();
        if (input.f === 'write') transaction.put(key, value);
        else transaction.delete(key);
        return undefined;
      });
      pending.ok(read === undefined ? {} : { value: read }, ts);
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

  check() {
    const operations = this.history.operations();
    return [
      { name: 'key-value-linearizable', verdict: checkRegisters(operations) },
      { name: 'key-value-in-timestamp-order', verdict: checkWitnessOrder(asAtomic(operations)) },
    ];
  }
}
