import {
  asAtomic,
  checkRegisters,
  checkWitnessOrder,
  History,
  type RegisterInput,
  type RegisterOutput,
} from '@synod/simulation';
import { endOfFailure, Processes, type CoordinationClient, type Workload, type WorkloadContext } from './workload';

const KEYS = ['reg/a', 'reg/b', 'reg/c'];
/** Longer histories of one key are dear to check: after so many operations a new set of keys takes over. */
const OPERATIONS_PER_GENERATION = 120;

/** Reads, writes, deletions and compare-and-sets of a few keys of the coordination store: linearizable, in order of revisions. */
export class CoordinationRegisters implements Workload<CoordinationClient> {
  readonly name = 'coordination registers';
  readonly clients = 3;
  private readonly history: History<RegisterInput, RegisterOutput>;
  private readonly processes = new Processes();
  private counter = 0;

  constructor(private readonly context: WorkloadContext) {
    this.history = new History(() => context.world.now);
  }

  async step(host: CoordinationClient, client: number): Promise<void> {
    const input = this.draw(host);
    const pending = this.history.invoke(this.processes.nameOf(client), input);
    try {
      const { output, position } = await perform(host, input);
      pending.ok(output, position);
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

  /** Writes that were acknowledged, as watches must show them. */
  acknowledgedWrites(): { readonly key: string; readonly value: string | undefined; readonly revision: bigint }[] {
    return this.history.operations().flatMap(({ input, outcome }) => {
      if (outcome.type !== 'ok' || outcome.position === undefined || input.f === 'read') return [];
      if (input.f === 'cas' && outcome.output.swapped !== true) return [];
      const value = input.f === 'delete' ? undefined : input.value;
      return [{ key: input.key, value, revision: outcome.position }];
    });
  }

  check() {
    const operations = this.history.operations();
    return [
      { name: 'coordination-linearizable', verdict: checkRegisters(operations) },
      { name: 'coordination-in-revision-order', verdict: checkWitnessOrder(asAtomic(operations)) },
    ];
  }

  /** The keys that are written to at present. */
  keys(): string[] {
    const generation = Math.floor(this.counter / OPERATIONS_PER_GENERATION);
    return KEYS.map((key) => `${key}/${generation}`);
  }

  private draw({ random }: CoordinationClient): RegisterInput {
    const number = this.counter++;
    const generation = Math.floor(number / OPERATIONS_PER_GENERATION);
    const key = `${KEYS[random.below(KEYS.length)]}/${generation}`;
    const value = `v${number}`;
    switch (random.below(8)) {
      case 0:
        return { f: 'delete', key };
      case 1:
        return { f: 'cas', key, expected: `v${Math.max(0, number - 1 - random.below(4))}`, value };
      case 2:
      case 3:
      case 4:
        return { f: 'write', key, value };
      default:
        return { f: 'read', key };
    }
  }
}

interface Answer {
  readonly output: RegisterOutput;
  readonly position: bigint;
}

async function perform({ coordination }: CoordinationClient, input: RegisterInput): Promise<Answer> {
  const key = Buffer.from(input.key);
  switch (input.f) {
    case 'read': {
      const { entries, revision } = await coordination.range(key);
      const value = entries[0]?.value.toString();
      return { output: value === undefined ? {} : { value }, position: revision };
    }
    case 'write': {
      const success = [{ kind: 'put', key, value: Buffer.from(input.value) } as const];
      const { revision } = await coordination.transaction({ compare: [], success, failure: [] });
      return { output: {}, position: revision };
    }
    case 'delete': {
      // Writes elsewhere as well, so that it always has a revision of its own: a deletion that finds nothing takes none.
      const { revision } = await coordination.transaction({
        compare: [],
        success: [
          { kind: 'delete', key },
          { kind: 'put', key: Buffer.from('deletions'), value: key },
        ],
        failure: [],
      });
      return { output: {}, position: revision };
    }
    case 'cas': {
      const { entries, revision } = await coordination.range(key);
      const [entry] = entries;
      // Not what was expected when looked at: that is an answer, as of this revision.
      if (entry?.value.toString() !== input.expected) return { output: { swapped: false }, position: revision };
      const result = await coordination.transaction({
        compare: [{ key, target: 'mod-revision', equals: entry?.modRevision ?? 0n }],
        success: [{ kind: 'put', key, value: Buffer.from(input.value ?? '') }],
        failure: [],
      });
      // The key has changed since; what it held at this revision is not known to be another value, but values are unique.
      return { output: { swapped: result.succeeded }, position: result.revision };
    }
  }
}
