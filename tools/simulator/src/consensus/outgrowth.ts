import type { Direction, Draws, World } from '@synod/simulation';
import type { ConsensusCluster } from './consensus-cluster';
import type { Machine } from './machine';
import type { MemberClient } from './member-client';

/** Members that join: with them those who were there before may all be wrong about what is chosen, bar one. */
const JOINING = 2;
/** In election time-outs: after so long, members that hear no leader have given it up. */
const GIVEN_UP_TIMEOUTS = 2.25;
/** In election time-outs: so long, at most, until the one that slept knows what the others of its side know. */
const WOKEN_TIMEOUTS = 4;
const LOOK_US = 5_000;
/** For how long the cluster may take to grow. */
const PATIENCE_US = 5_000_000;
/** How long the old leader stays away. */
const AWAY_US = 3_000_000;

/**
 * The story behind rule 4 of decision 0010. One member sleeps while others join. Then a whole quorum of the members that were there before, the sleeper
 * among them, is cut off from the leader and from who has joined: these go on by themselves, as a quorum of the new members. When the sleeper wakes it
 * campaigns by the configuration that it knows, with the promises of its side; and just then the leader dies, and everybody else meets again.
 */
export class Outgrowth {
  /** The cluster is to have so many before the story goes on. */
  readonly voters: number;
  private readonly sleeper: Machine;
  /** Those that are cut off with it later. */
  private readonly side: readonly Machine[];
  private readonly cuts: (readonly Direction[])[] = [];
  private readonly growsUntil: number;
  private over = false;

  private constructor(
    private readonly world: World,
    private readonly cluster: ConsensusCluster,
    /** Whom to ask for members: others may not hear of them. */
    readonly leader: Machine,
    others: readonly Machine[],
    draws: Draws,
  ) {
    const before = others.length + 1;
    this.voters = before + JOINING;
    const [sleeper, ...side] = draws.shuffled(others).slice(0, Math.floor(before / 2) + 1);
    if (sleeper === undefined) throw new Error('nobody is there to sleep');
    this.sleeper = sleeper;
    this.side = side;
    this.growsUntil = world.now + PATIENCE_US;
  }

  /** Begins, if all is well with a cluster and it has room to grow. */
  static begin(
    world: World,
    cluster: ConsensusCluster,
    voters: readonly Machine[],
    draws: Draws,
  ): Outgrowth | undefined {
    const { leader } = cluster;
    const well = voters.length > 2 && voters.every(({ member }) => member !== undefined);
    const room = cluster.machines.filter(({ idle }) => idle).length >= JOINING;
    if (leader === undefined || !voters.includes(leader) || !well || !room) return undefined;
    const others = voters.filter((machine) => machine !== leader);
    const story = new Outgrowth(world, cluster, leader, others, draws);
    story.cut([story.sleeper], cluster.machines);
    return story;
  }

  /** It cannot end as it should. */
  get spoilt(): boolean {
    return this.over || this.cluster.leader !== this.leader;
  }

  /** The cluster takes too long to grow. */
  get drags(): boolean {
    return this.world.now > this.growsUntil;
  }

  /** The cluster has grown. */
  async end(client: MemberClient): Promise<void> {
    const { cluster, leader, sleeper, side, world } = this;
    const { electionTimeoutUs } = cluster.shape.times;
    const own = [sleeper, ...side];
    const far = cluster.machines.filter((machine) => !own.includes(machine));
    this.cut(side, far);
    await client.pause(Math.ceil(GIVEN_UP_TIMEOUTS * electionTimeoutUs));
    if (this.spoilt) return this.giveUp();
    this.cut([sleeper], far);
    this.uncut();
    const known = (): number => Math.max(...side.map(({ member }) => member?.configurationVersion ?? 0));
    const until = world.now + WOKEN_TIMEOUTS * electionTimeoutUs;
    while (world.now < until && (sleeper.member?.configurationVersion ?? 0) < known()) await client.pause(LOOK_US);
    if (this.spoilt) return this.giveUp();
    world.probes.sometimes('outgrown');
    leader.node.kill('power');
    world.after(AWAY_US, () => leader.node.start());
    this.giveUp();
  }

  /** Everybody meets again. */
  giveUp(): void {
    this.over = true;
    while (this.cuts.length > 0) this.uncut();
  }

  private cut(some: readonly Machine[], all: readonly Machine[]): void {
    const directions = some.flatMap(({ name }) =>
      all
        .filter((other) => other.name !== name)
        .flatMap((other) => [
          { from: name, to: other.name },
          { from: other.name, to: name },
        ]),
    );
    this.world.network.cut(directions);
    this.cuts.push(directions);
  }

  /** Ends the oldest cut. */
  private uncut(): void {
    this.world.network.uncut(this.cuts.shift() ?? []);
  }
}
