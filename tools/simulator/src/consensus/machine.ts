import type { SimNode } from '@synod/simulation';
import type { ConsensusNode } from '../../../../apps/consensus/src/node';
import { SimGauge } from './full-disks';

/** A machine that may hold a member: what its data folder would say, and what was done to it. */
export class Machine {
  /** Which of its data folders is the present one; 0 while it has none and only idles. */
  private folder = 0;
  /** What the present folder calls itself. */
  incarnation = '';
  /** It takes a place in the running cluster, instead of founding one. */
  joins = false;
  /** The cluster that it has taken part in, as the folder says. */
  clusterId: string | undefined;
  /** The cluster that it took part in with the folder that was set aside for this one. */
  returnsTo: string | undefined;
  /** What was done to its disk, and not noticed yet. */
  harm: 'blank' | 'rotten' | undefined;
  /** The replica that went with a disk: nobody may speak for it any more. */
  lostReplica: number | undefined;
  /** An operator has asked for its removal: it may end for that. */
  removalAsked = false;
  /** Its process ended by itself, for a reason that is right. */
  ended = false;
  /** Its disk is to fail, or has: then its process ends by itself, and is started again so much later; if the power goes then, so long after that. */
  failing: { readonly backAfterUs: number; readonly darkAfterUs?: number } | undefined;
  /** How much room there is on its disk. */
  readonly gauge = new SimGauge();
  private node_: SimNode<ConsensusNode | undefined> | undefined;

  constructor(readonly name: string) {}

  get node(): SimNode<ConsensusNode | undefined> {
    if (this.node_ === undefined) throw new Error(`${this.name} has no machine`);
    return this.node_;
  }

  set node(node: SimNode<ConsensusNode | undefined>) {
    this.node_ = node;
  }

  get idle(): boolean {
    return this.folder === 0;
  }

  /** Where its peers reach it: a simulated machine has one address. */
  get address(): string {
    return addressOf(this.name);
  }

  /** The member, if it serves. */
  get member(): ConsensusNode | undefined {
    return this.node.state === 'running' ? this.node.host : undefined;
  }

  /** Begins an empty data folder. */
  install(joins: boolean): void {
    this.folder++;
    this.incarnation = `${this.name}-disk-${this.folder}`;
    this.joins = joins;
    this.removalAsked = this.ended = false;
    this.harm = this.clusterId = this.returnsTo = this.failing = undefined;
  }

  /** Takes the machine out of service: its disk is empty, and nothing runs on it. */
  retire(): void {
    this.node.kill('process');
    this.node.replaceDisk();
    this.install(false);
    this.folder = 0;
  }

  /** The disk of a replica is replaced by an empty one, behind the cluster's back: the process that starts draws a new name for the folder. */
  goBlank(replicaId: number): void {
    const { joins } = this;
    this.node.kill('power');
    this.node.replaceDisk();
    this.install(joins);
    this.harm = 'blank';
    this.lostReplica = replicaId;
  }

  /** What the folder will be called when it is set aside. */
  get nextIncarnation(): string {
    return `${this.incarnation}+`;
  }

  /** Begins the folder anew under a name that the cluster knows already; the process goes on as another one that finds it so. */
  setAside(): void {
    const { nextIncarnation: incarnation, clusterId, returnsTo = clusterId, lostReplica, removalAsked } = this;
    this.goBlank(lostReplica ?? 0);
    this.incarnation = incarnation;
    this.returnsTo = returnsTo;
    // By that name it may be the very one whose removal was asked for.
    this.removalAsked = removalAsked;
    this.node.start();
  }
}

export function addressOf(name: string): string {
  return `${name}:1`;
}

/** Whom faults strike that go by who leads, and from the start of the run for how long. */
export interface FaultSetting {
  readonly leader: () => Machine | undefined;
  readonly machines: readonly Machine[];
  readonly withinUs: number;
}
