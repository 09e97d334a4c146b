import type { Group, NodeId } from '@synod/replication';
import { SynodError } from '@synod/runtime';
import { encodeCommand, type ShardCommand } from '../state/commands';
import type { ShardResult } from '../state/shard-state-machine';

/** One stretch of leadership: what was learned in one is worth nothing in the next. */
export type Term = number;

/** This replica's place in its group, with every answer that is not a success as an error the client understands. */
export class Leadership {
  private group: Group<ShardResult> | undefined;
  private term: Term = 0;
  private leading = false;

  constructor(
    /** For messages: `shard 17`. */
    private readonly name: string,
    /** Where clients reach a node, if that is known. */
    private readonly addressOf: (node: NodeId) => string | undefined,
  ) {}

  attach(group: Group<ShardResult>): void {
    this.group = group;
  }

  get leads(): boolean {
    return this.leading;
  }

  changed(leads: boolean): void {
    this.leading = leads;
    this.term++;
  }

  /** @throws {SynodError} `not-leader` */
  current(): Term {
    if (!this.leading) throw this.notLeader();
    return this.term;
  }

  /** @throws {SynodError} `not-leader` if leadership was lost since, even if it was regained */
  assertStill(term: Term): void {
    if (!this.leading || this.term !== term) throw this.notLeader();
  }

  /**
   * Resolves once leadership is confirmed by a round sent after this call and everything chosen before is applied: the store may be
   * read in the turn that follows.
   * @throws {SynodError} `not-leader`, `overloaded`
   */
  async barrier(): Promise<void> {
    if (this.group === undefined) throw this.notLeader();
    const result = await this.group.readBarrier();
    if (result.kind === 'not-leader') throw this.notLeader(result.leader);
    if (result.kind === 'overloaded') throw this.overloaded();
    this.current();
  }

  /** @throws {SynodError} `not-leader`, `overloaded`: certainly not proposed; `outcome-unknown` */
  async propose(command: ShardCommand): Promise<ShardResult> {
    if (this.group === undefined) throw this.notLeader();
    const result = await this.group.propose(encodeCommand(command));
    switch (result.kind) {
      case 'applied':
        return result.result;
      case 'not-leader':
        throw this.notLeader(result.leader);
      case 'overloaded':
        throw this.overloaded();
      case 'unknown':
        throw new SynodError(
          'outcome-unknown',
          `${this.name} lost its leader after proposing; ask again, requests are idempotent`,
        );
    }
  }

  notLeader(leader: NodeId | undefined = this.group?.status().leader): SynodError {
    if (leader === undefined)
      return new SynodError('not-leader', `${this.name} has no leader that this node knows of; try again`);
    const hint = this.addressOf(leader);
    return new SynodError('not-leader', `${this.name} is led by ${leader}`, hint === undefined ? {} : { hint });
  }

  private overloaded(): SynodError {
    return new SynodError('overloaded', `${this.name} has as many proposals in flight as it may; back off`);
  }
}
