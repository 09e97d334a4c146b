import type { BarrierResult, Group, GroupStatus, NodeId, ProposeResult, StateMachine } from '@synod/replication';
import type { Store, Timers } from '@synod/runtime';

interface Replica<R> {
  readonly nodeId: NodeId;
  readonly store: Store;
  readonly stateMachine: StateMachine<R>;
  readonly leadershipChanged: (leads: boolean) => void;
}

interface Pending<R> {
  readonly commands: readonly Uint8Array[];
  readonly settle: (result: ProposeResult<readonly R[]>) => void;
}

/**
 * A Paxos group as its users see it, without Paxos: one log, applied to every replica at once; a leader that the spec appoints.
 * Proposals of one turn are chosen in the next, unless the spec holds them back.
 */
export class MemoryGroup<R> {
  private readonly replicas: Replica<R>[] = [];
  private leader: NodeId | undefined;
  private pending: Pending<R>[] = [];
  private scheduled = false;
  private instance = 0;
  /** While true, proposals stay in flight: neither chosen nor lost. */
  holding = false;
  /** While true, no barrier resolves. */
  barriersHeld = false;
  private heldBarriers: (() => void)[] = [];
  /** Every command chosen, in order. */
  readonly log: Uint8Array[] = [];

  constructor(
    private readonly name: string,
    private readonly timers: Timers,
  ) {}

  join(replica: Replica<R>): Group<R> {
    this.replicas.push(replica);
    const { nodeId } = replica;
    return {
      founding: { group: this.name, members: [] },
      status: () => this.status(nodeId),
      propose: (command) => this.propose(nodeId, command),
      proposeAll: (commands) => this.proposeAll(nodeId, commands),
      readBarrier: () => this.readBarrier(nodeId),
      transferLeadership: () => Promise.resolve({ kind: 'not-transferred' }),
    };
  }

  /**
   * Ends the leadership of whoever leads. Proposals in flight get no answer; they are chosen before the next leader serves, or
   * never, as the spec says.
   */
  depose(inFlight: 'chosen' | 'lost' = 'lost'): void {
    const pending = this.pending;
    this.pending = [];
    const old = this.replicas.find(({ nodeId }) => nodeId === this.leader);
    this.leader = undefined;
    old?.leadershipChanged(false);
    for (const { commands, settle } of pending) {
      if (inFlight === 'chosen') this.choose(commands);
      settle({ kind: 'unknown' });
    }
    for (const release of this.heldBarriers.splice(0)) release();
  }

  appoint(nodeId: NodeId): void {
    this.leader = nodeId;
    this.replicas.find((replica) => replica.nodeId === nodeId)?.leadershipChanged(true);
  }

  /** Lets go of what was held back. */
  release(): void {
    this.holding = false;
    this.barriersHeld = false;
    for (const release of this.heldBarriers.splice(0)) release();
    this.schedule();
  }

  private async propose(nodeId: NodeId, command: Uint8Array): Promise<ProposeResult<R>> {
    const proposed = await this.proposeAll(nodeId, [command]);
    return proposed.kind === 'applied' ? { ...proposed, result: proposed.result[0] as R } : proposed;
  }

  private proposeAll(nodeId: NodeId, commands: readonly Uint8Array[]): Promise<ProposeResult<readonly R[]>> {
    if (nodeId !== this.leader) return Promise.resolve({ kind: 'not-leader', leader: this.leader });
    return new Promise((settle) => {
      this.pending.push({ commands, settle });
      this.schedule();
    });
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.timers.after(0, () => {
      this.scheduled = false;
      if (this.holding) return;
      for (const { commands, settle } of this.pending.splice(0)) {
        const result = this.choose(commands);
        settle({ kind: 'applied', instance: this.instance, result });
      }
    });
  }

  /** @returns what the first replica made of them; all make the same */
  private choose(commands: readonly Uint8Array[]): readonly R[] {
    this.log.push(...commands);
    const instance = ++this.instance;
    const results = this.replicas.map(({ store, stateMachine }) => {
      const own = store.transaction((transaction) =>
        commands.map((command, index) => stateMachine.apply(transaction, command, { instance, index })),
      );
      stateMachine.committed?.(store);
      return own;
    });
    return results[0] ?? [];
  }

  private async readBarrier(nodeId: NodeId): Promise<BarrierResult> {
    if (this.barriersHeld) await new Promise<void>((resolve) => this.heldBarriers.push(resolve));
    await new Promise<void>((resolve) => this.timers.after(0, resolve));
    if (nodeId !== this.leader) return { kind: 'not-leader', leader: this.leader };
    return { kind: 'ready', applied: this.instance };
  }

  private status(nodeId: NodeId): GroupStatus {
    return {
      group: this.name,
      replicaId: this.replicas.findIndex((replica) => replica.nodeId === nodeId) + 1,
      role: nodeId === this.leader ? 'leader' : 'follower',
      promised: { round: 1, replica: 1 },
      leader: this.leader,
      chosenThrough: this.instance,
      appliedThrough: this.instance,
      truncatedThrough: 0,
      members: [],
    };
  }
}
