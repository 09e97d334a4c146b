import { SynodError } from '@synod/runtime';
import type { Draws, World } from '@synod/simulation';
import type { GroupMember } from '@synod/replication';
import type { MemberOperation } from '../../../../apps/consensus/src/member-changes';
import { WAL_FOLDER } from '../../../../apps/consensus/src/data-format';
import { EtcdError } from '../../../../apps/consensus/src/state/errors';
import { harmLog } from './bit-rot';
import type { ConsensusCluster } from './consensus-cluster';
import type { Machine } from './machine';
import type { MemberClient } from './member-client';
import { Outgrowth } from './outgrowth';

/** What an operator of a seed likes to do, besides what has to be done. */
export interface OperatorHabits {
  /** Voters wanted. */
  readonly voters: number;
  /** Between two looks at the cluster, at most. */
  readonly pauseUsMax: number;
  /** Deeds to choose from; none in a seed with quiet members. */
  readonly deeds: readonly Deed[];
}

export type Deed = 'grow' | 'outgrow' | 'remove' | 'remove-leader' | 'move-leader' | 'blank-disk' | 'bit-rot';

/** Changes of members that were asked for and refused, or lost, are tried again; what a replica was told by then it must not forget. */
const VOTERS_MIN = 3;
/** How long a member stands still that is to lead. */
const PAUSE_US_MAX = 4_000_000;
/** Between two looks at a cluster that grows in a hurry, at most. */
const HURRY_US_MAX = 100_000;

/**
 * Who runs the cluster: adds members, promotes, removes and replaces them, moves the leader, and loses disks. Looks at the members as any client
 * can, and does one thing at a time, as `docs/operations.md` tells it.
 *
 * Disks are lost within a budget: one at a time, of a cluster whose members all know the same configuration, with no change of it under
 * way. So a majority of the voters still have every acknowledged write, and a healed cluster has no excuse.
 */
export class Operator {
  /** A change may yet take effect. */
  private unsettled = false;
  private perturbs = true;
  private story: Outgrowth | undefined;
  /** One is to be told before anything else is done. */
  private hasStory: boolean;
  /** Nothing is left to do. */
  tidy = false;

  constructor(
    private readonly world: World,
    private readonly cluster: ConsensusCluster,
    private readonly client: MemberClient,
    private readonly habits: OperatorHabits,
    private readonly draws: Draws,
  ) {
    this.hasStory = habits.deeds.includes('outgrow') && draws.chance(2, 3);
  }

  /** Busy with a story, which needs the leader that it began with. */
  get tells(): boolean {
    return this.story !== undefined;
  }

  /** Never rejects for what an operator must live with. */
  async work(): Promise<never> {
    for (;;) {
      await this.client.pause(1 + this.draws.below(this.story === undefined ? this.habits.pauseUsMax : HURRY_US_MAX));
      try {
        await this.step();
      } catch (error) {
        if (!(error instanceof SynodError) && !(error instanceof EtcdError)) throw error;
      }
    }
  }

  /** From now on only what is broken is repaired. */
  calm(): void {
    this.perturbs = false;
    this.dropStory();
  }

  private async step(): Promise<void> {
    this.tidy = false;
    if (this.story?.spoilt === true || this.story?.drags === true) this.dropStory();
    const members = await this.client.call(
      'unavailable',
      async (node) => {
        await node.host.readBarrier();
        return node.members;
      },
      this.story?.leader,
    );
    if (this.unsettled) return this.settle(members);
    if (this.retireLeftovers(members)) return;
    const place = members.find(({ nodeId }) => nodeId === undefined);
    if (place !== undefined) return this.occupy(place);
    const lost = members.find((member) => this.machineOf(member).harm !== undefined);
    if (lost !== undefined) return this.makeGood(lost);
    const voters = members.filter(({ learner }) => !learner);
    const learner = members.find((member) => member.learner);
    if (learner !== undefined) return this.change({ kind: 'promote', replicaId: learner.replicaId });
    if (this.story !== undefined) return this.goOn(this.story, voters);
    if (this.perturbs && this.hasStory) return this.tell(voters);
    if (this.perturbs && this.habits.deeds.length > 0 && this.draws.chance(1, 2)) return this.perturb(voters);
    if (voters.length < this.habits.voters) return this.add(this.draws.chance(1, 2));
    this.tidy = members.every((member) => this.machineOf(member).member !== undefined);
  }

  /** Changes nothing, which is a change too: what was proposed before it took effect before it, or never does. */
  private settle(members: readonly GroupMember[]): Promise<void> {
    const member = this.draws.pick(members);
    return this.change({ kind: 'update', replicaId: member.replicaId, address: this.machineOf(member).address });
  }

  /** Machines whose member is gone are emptied, for the next one. */
  private retireLeftovers(members: readonly GroupMember[]): boolean {
    const names = new Set(members.map((member) => this.machineOf(member).name));
    const leftover = this.cluster.machines.find((machine) => !machine.idle && !names.has(machine.name));
    if (leftover === undefined) return false;
    leftover.retire();
    return true;
  }

  /** A place was added: whoever is to take it starts, and is started again if it came too early. */
  private occupy(place: GroupMember): void {
    const machine = this.machineOf(place);
    if (machine.idle) {
      machine.install(true);
      machine.node.kill('process');
    } else if (machine.ended) machine.ended = false;
    machine.node.start();
  }

  /** A member without its disk, or with one that rotted, comes back by itself; or it is removed. */
  private makeGood(lost: GroupMember): Promise<void> | void {
    const machine = this.machineOf(lost);
    if (this.draws.chance(1, 6)) return this.remove(lost);
    machine.ended = false;
    machine.node.start();
  }

  private perturb(voters: readonly GroupMember[]): Promise<void> | void {
    const deed = this.draws.pick(this.habits.deeds);
    const victim = this.draws.pick(voters);
    switch (deed) {
      case 'grow': {
        const full = this.cluster.machines.every(({ idle }) => !idle);
        const shrinks = full || (voters.length > this.habits.voters && this.draws.chance(1, 2));
        return shrinks ? this.remove(victim) : this.add(this.draws.chance(1, 2));
      }
      case 'outgrow':
        return this.tell(voters);
      case 'remove':
        return this.removeOne(voters, victim);
      case 'remove-leader': {
        const { leader } = this.cluster;
        return this.removeOne(voters, voters.find((member) => this.machineOf(member) === leader) ?? victim);
      }
      case 'move-leader':
        return this.moveLeader(victim);
      case 'blank-disk':
        if (!this.mayLose(voters)) return;
        this.world.probes.sometimes('disk-replaced');
        this.machineOf(victim).goBlank(victim.replicaId);
        this.machineOf(victim).node.start();
        return;
      case 'bit-rot':
        if (this.mayLose(voters)) this.rot(this.machineOf(victim), victim.replicaId);
    }
  }

  private rot(machine: Machine, replicaId: number): void {
    machine.node.kill('process');
    if (harmLog(machine.node, WAL_FOLDER, this.draws)) {
      this.world.probes.sometimes('log-rotted');
      machine.harm = 'rotten';
      machine.lostReplica = replicaId;
    }
    machine.node.start();
  }

  /** The budget of lost disks. */
  private mayLose(voters: readonly GroupMember[]): boolean {
    const machines = this.cluster.machines.filter(({ idle }) => !idle);
    const versions = machines.map(({ member }) => member?.configurationVersion);
    return (
      voters.length >= VOTERS_MIN &&
      machines.length === voters.length &&
      versions.every((version) => version !== undefined && version === versions[0])
    );
  }

  /** Tells a story, if all is well; in some seeds before anything else. */
  private tell(voters: readonly GroupMember[]): void {
    const machines = voters.map((member) => this.machineOf(member));
    this.story = Outgrowth.begin(this.world, this.cluster, machines, this.draws);
    if (this.story !== undefined) this.hasStory = false;
  }

  /** One more member learns first, as a cluster with a member that is away insists on. */
  private async goOn(story: Outgrowth, voters: readonly GroupMember[]): Promise<void> {
    if (voters.length < story.voters) return this.add(true);
    await story.end(this.client);
    this.story = undefined;
  }

  private dropStory(): void {
    this.story?.giveUp();
    this.story = undefined;
  }

  private add(learner: boolean): Promise<void> | void {
    const spares = this.cluster.machines.filter(({ idle }) => idle);
    if (spares.length === 0) return;
    const { address } = this.draws.pick(spares);
    return this.change({ kind: 'add', address, learner });
  }

  private async removeOne(voters: readonly GroupMember[], victim: GroupMember): Promise<void> {
    if (voters.length > 2) await this.remove(victim);
  }

  private remove(victim: GroupMember): Promise<void> {
    const machine = this.machineOf(victim);
    machine.removalAsked = true;
    if (machine === this.cluster.leader) this.world.probes.sometimes('leader-removal-asked');
    return this.change({ kind: 'remove', replicaId: victim.replicaId });
  }

  private async moveLeader(to: GroupMember): Promise<void> {
    const { leader } = this.cluster;
    if (leader === undefined) return;
    // Now and then whoever is to take over stands still, and the leader has to go on.
    const { node } = this.machineOf(to);
    if (to.nodeId !== leader.name && this.draws.chance(1, 3)) {
      node.pause();
      this.world.after(this.draws.between(1, PAUSE_US_MAX), () => node.resume());
    }
    await this.client.call('unavailable', (node) => node.host.moveLeader(to.nodeId ?? ''), leader);
  }

  private async change(operation: MemberOperation): Promise<void> {
    try {
      await this.client.call('outcome-unknown', (node) => node.host.changeMembers(operation), this.story?.leader);
      this.unsettled = false;
      this.world.probes.sometimes(`member-${operation.kind}`);
    } catch (error) {
      const refused = error instanceof EtcdError && !error.code.startsWith('timed-out');
      const notDone = error instanceof SynodError && error.kind === 'unavailable';
      if (!refused && !notDone) this.unsettled = true;
      throw error;
    }
  }

  private machineOf({ nodeId, address }: GroupMember): Machine {
    const machine = this.cluster.machines.find((each) => each.name === nodeId || each.address === address);
    if (machine === undefined) throw new Error(`no machine of ${nodeId ?? address}`);
    return machine;
  }
}
