import { stateDigest, type LeaseOptions, type LogLimits, type ReplicationTimes } from '@synod/replication';
import { SynodError } from '@synod/runtime';
import type { NodePorts, SimNode, World } from '@synod/simulation';
import { STORE_PREFIX, WAL_FOLDER } from '../../../../apps/consensus/src/data-format';
import type { Founder } from '../../../../apps/consensus/src/founding';
import { ConsensusNode } from '../../../../apps/consensus/src/node';
import { findHarm, returnFromHarm, type HarmedFolder } from '../../../../apps/consensus/src/return-from-harm';
import { Broken } from '../broken';
import { ReplicaWatcher } from '../replica-watcher';
import { checkStates } from '../state-check';
import { isOfFailingDisk } from './failing-disks';
import { SPACE_LIMITS } from './full-disks';
import { addressOf, Machine } from './machine';
import { MemberClient } from './member-client';

export interface ConsensusShape {
  readonly founders: number;
  /** Machines that idle until a member is wanted there. */
  readonly spares: number;
  readonly clients: number;
  readonly times: ReplicationTimes;
  readonly logLimits: LogLimits;
  /** Absent where every linearizable read asks a majority. */
  readonly leases: LeaseOptions | undefined;
  /** Members mind how much room their disks have. */
  readonly disksFill: boolean;
}

/** A run of a seed is short: members compare their states often. */
const AUDIT_PERIOD_US = 2_000_000;

/** The consensus service alone: production hosts on simulated machines, some of which wait for a member to come. */
export class ConsensusCluster {
  readonly watcher = new ReplicaWatcher();
  readonly machines: readonly Machine[];
  readonly clients: readonly SimNode<MemberClient>[];
  private readonly founders: readonly Machine[];

  constructor(
    readonly world: World,
    readonly shape: ConsensusShape,
  ) {
    this.machines = machineNames(shape).map((name) => {
      const machine = new Machine(name);
      machine.node = world.addNode(name, (ports) => this.startMember(machine, ports));
      return machine;
    });
    this.founders = this.machines.slice(0, shape.founders);
    for (const founder of this.founders) founder.install(false);
    this.clients = Array.from({ length: shape.clients }, (_, index) =>
      world.addNode(
        `client-${index + 1}`,
        (ports) => new MemberClient(world, this.machines, ports.random, ports.timers),
        { role: 'client' },
      ),
    );
  }

  start(): void {
    for (const { node } of this.founders) node.start();
    for (const client of this.clients) client.start();
  }

  get leader(): Machine | undefined {
    return this.machines.find(({ member }) => member?.host.isLeader === true);
  }

  /** The machines of the members that a member knows; all of them have one once they have taken their places. */
  machinesOf(member: ConsensusNode): Machine[] {
    return this.machines.filter((machine) => member.members.some(({ nodeId }) => nodeId === machine.name));
  }

  /** Whether all members of the cluster have applied the same log. */
  get converged(): boolean {
    const leader = this.leader?.member;
    if (leader === undefined) return false;
    const { chosenThrough } = leader.host.group.status();
    return this.machinesOf(leader).every(({ member }) => member?.host.group.status().appliedThrough === chosenThrough);
  }

  /** Members that have applied the same log and hold different states, by the place in the log; there must be none. */
  diverged(): string[] {
    const digests = new Map<number, Set<string>>();
    for (const { member, node } of this.machines) {
      const status = member?.host.group.status();
      if (status === undefined) continue;
      const digest = stateDigest(node.store.view(), status.group, STORE_PREFIX);
      digests.set(status.appliedThrough, (digests.get(status.appliedThrough) ?? new Set()).add(digest));
    }
    return [...digests].filter(([, states]) => states.size > 1).map(([at]) => `instance ${at}`);
  }

  /** The members compare their states all the while. */
  checkStates(): void {
    checkStates(this.machines.flatMap(({ member }) => member?.host ?? []));
  }

  private async startMember(machine: Machine, ports: NodePorts): Promise<ConsensusNode | undefined> {
    if (machine.idle) return undefined;
    const { name, incarnation, joins, clusterId, returnsTo } = machine;
    const known = joins ? this.machines : this.founders;
    const founders = known.map((founder) => ({ nodeId: founder.name, address: founder.address }));
    try {
      const harm = await findHarm({ disk: ports.disk, checkStore: () => Promise.resolve() });
      if (harm !== undefined) await this.setAside(machine, harm, founders, ports);
      const node = await ConsensusNode.start({
        nodeId: name,
        incarnation,
        joined: clusterId !== undefined,
        joins,
        ...(returnsTo === undefined ? {} : { returnsTo }),
        founders,
        advertised: { address: addressOf(name) },
        ports,
        store: ports.store,
        peerTransport: ports.transport,
        clientTransport: ports.transport,
        failed: (error) => this.ended(machine, error),
        observer: this.watcher,
        times: this.shape.times,
        logLimits: this.shape.logLimits,
        ...(this.shape.leases === undefined ? {} : { leases: this.shape.leases }),
        maintenance: {
          auditPeriodUs: AUDIT_PERIOD_US,
          ...(this.shape.disksFill ? { storage: { gauge: machine.gauge, limits: SPACE_LIMITS } } : {}),
        },
      });
      this.checkHarm(machine, node);
      machine.clusterId = node.founding.clusterId;
      machine.returnsTo = undefined;
      return node;
    } catch (error) {
      this.ended(machine, error);
      return undefined;
    }
  }

  /** The process ends with the folder that it found, and goes on as one that finds an empty one. Never resolves. */
  private async setAside(
    machine: Machine,
    harm: SynodError,
    founders: readonly Founder[],
    ports: NodePorts,
  ): Promise<never> {
    const { name, clusterId, returnsTo = clusterId } = machine;
    if (machine.harm !== 'rotten') throw new Broken('invariant', 'only-harm-is-set-aside', `${name}: ${harm.message}`);
    this.world.probes.sometimes('rot-was-named');
    const folder: HarmedFolder = {
      clusterId: returnsTo,
      checkRoomAside: () => Promise.resolve(),
      nameNext: () => Promise.resolve(machine.nextIncarnation),
      setAside: () => {
        machine.setAside();
        return new Promise<never>(() => undefined);
      },
    };
    await returnFromHarm(harm, { nodeId: name, founders, folder, peerTransport: ports.transport, ports });
    throw harm;
  }

  /** Invariants: `rot-is-detected`, who was harmed so does not get so far; `blank-disk-never-votes`, who has forgotten all comes back as another replica. */
  private checkHarm(machine: Machine, node: ConsensusNode): void {
    const { harm, name, lostReplica } = machine;
    if (harm === 'rotten') throw new Broken('invariant', 'rot-is-detected', `${name} takes part with a rotten log`);
    if (harm !== 'blank') return;
    if (node.host.group.status().replicaId === lostReplica) {
      throw new Broken(
        'invariant',
        'blank-disk-never-votes',
        `${name} speaks for replica ${lostReplica}, whose disk is gone`,
      );
    }
    machine.harm = undefined;
    this.world.probes.sometimes(machine.returnsTo === undefined ? 'blank-disk-came-back' : 'rotten-disk-came-back');
  }

  /** A process ends by itself, or does not get to start: it must have a reason, and name it. */
  private ended(machine: Machine, error: unknown): void {
    const { failing } = machine;
    if (failing !== undefined && isOfFailingDisk(error)) return this.diskFailed(machine, failing);
    const reason = error instanceof SynodError ? this.reasonOf(machine, error) : undefined;
    if (reason === undefined) return this.world.fail(error);
    this.world.probes.sometimes(reason);
    machine.ended = true;
    machine.node.kill('process');
  }

  /** What watches over processes starts this one again; the disk has failed it only once. */
  private diskFailed(machine: Machine, { backAfterUs, darkAfterUs }: NonNullable<Machine['failing']>): void {
    const { node } = machine;
    machine.failing = undefined;
    node.kill('process');
    this.world.after(backAfterUs, () => {
      node.start();
      if (darkAfterUs === undefined) return;
      this.world.after(darkAfterUs, () => {
        if (node.state === 'down') return;
        node.kill('power');
        node.start();
      });
    });
  }

  /** @returns the state that this is one occurrence of; undefined if it is a fault */
  private reasonOf(
    { harm, removalAsked, joins, clusterId }: Machine,
    { kind, message }: SynodError,
  ): string | undefined {
    if (harm === 'rotten')
      return kind === 'corrupt' && message.includes(WAL_FOLDER) ? 'rotten-disk-was-refused' : undefined;
    if (kind !== 'failed-precondition') return undefined;
    if (removalAsked && message.includes('was removed')) return 'removed-member-stopped';
    if (harm === 'blank') return 'blank-disk-was-refused';
    return joins && clusterId === undefined && message.includes('has no place at') ? 'joined-too-early' : undefined;
  }
}

export function machineNames({ founders, spares }: Pick<ConsensusShape, 'founders' | 'spares'>): string[] {
  return Array.from({ length: founders + spares }, (_, index) => `n${index + 1}`);
}
