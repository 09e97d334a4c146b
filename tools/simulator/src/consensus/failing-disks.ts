import type { Draws, World } from '@synod/simulation';
import { Broken } from '../broken';
import type { Machine } from './machine';

const SECOND_US = 1_000_000;

/**
 * Disks that fail once, at a write or a sync of the log. The process of such a disk must end by itself, for no retry can tell what a kernel that said so has
 * written: invariant `failed-log-ends-the-process`. Then whoever watches over processes starts it again; and in half of the cases the power goes soon
 * after that, with whatever that kernel had taken for written.
 */
export class FailingDisks {
  /** Processes whose disk has failed them. */
  private readonly doomed: { readonly machine: string; readonly isDead: () => boolean }[] = [];

  constructor(
    private readonly world: World,
    private readonly draws: Draws,
    private readonly machines: readonly Machine[],
  ) {}

  /** Lets some disks fail, from now on. */
  begin(withinUs: number): void {
    for (let count = this.draws.between(2, 4); count > 0; count--) {
      const atUs = this.draws.below(withinUs);
      const machine = this.draws.pick(this.machines);
      const work = this.draws.pick(['sync', 'sync', 'write'] as const);
      const code = this.draws.pick(['EIO', 'EIO', 'ENOSPC']);
      const backAfterUs = this.draws.between(1, SECOND_US);
      const darkAfterUs = this.draws.chance(1, 2) ? this.draws.logUniform(1_000, SECOND_US) : undefined;
      this.world.after(atUs, () => {
        if (machine.member === undefined || machine.failing !== undefined) return;
        machine.failing = { backAfterUs, ...(darkAfterUs === undefined ? {} : { darkAfterUs }) };
        machine.node.disk.failNext(work, code, (isForgotten) => this.failed(machine, isForgotten));
      });
    }
  }

  /** To be asked when every member has written to its log since the last failure. */
  check(): void {
    const survivor = this.doomed.find(({ isDead }) => !isDead());
    if (survivor === undefined) return;
    throw new Broken(
      'invariant',
      'failed-log-ends-the-process',
      `${survivor.machine} goes on after its disk has failed`,
    );
  }

  private failed({ name, node }: Machine, isForgotten: boolean): void {
    const process = node.incarnation;
    this.world.probes.sometimes(isForgotten ? 'failed-sync-was-forgotten' : 'disk-failed');
    this.doomed.push({ machine: name, isDead: () => process === undefined || process.state === 'dead' });
  }
}

/** What an operating system says of a disk that fails, wherever in an error it stands. */
export function isOfFailingDisk(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && (cause.code === 'EIO' || cause.code === 'ENOSPC')) return true;
  }
  return false;
}
