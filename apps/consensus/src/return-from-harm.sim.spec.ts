import { SynodError, type Store } from '@synod/runtime';
import { SimFile, World, type NodePorts, type SimNode } from '@synod/simulation';
import { WAL_FOLDER } from './data-format';
import { ConsensusNode } from './node';
import { findHarm, returnFromHarm } from './return-from-harm';
import { put, under } from './testing/state-bench';
import { Withdrawal } from './withdrawal';

const NAMES = ['n1', 'n2', 'n3'];
const FOUNDERS = NAMES.map((nodeId) => ({ nodeId, address: `${nodeId}:2380` }));
const SECOND_US = 1_000_000;

/** A machine with what its data folder says of itself. */
class Member {
  clusterId: string | undefined;
  returnsTo: string | undefined;
  node: ConsensusNode | undefined;
  refusal: string | undefined;
  /** What its data folder remembers of harm that was found while it ran. */
  private noted: string | undefined;
  private store: Store | undefined;
  private withdrawal: Withdrawal | undefined;
  readonly machine: SimNode<unknown>;

  constructor(
    world: World,
    private readonly name: string,
    public incarnation = `${name}-disk`,
  ) {
    this.machine = world.addNode(name, (ports) => {
      this.start(ports).catch((error: SynodError) => (this.refusal = error.message));
      return {};
    });
  }

  kill(): void {
    this.machine.kill('process');
    this.node = this.refusal = undefined;
  }

  goBlank(incarnation: string): void {
    this.kill();
    this.machine.replaceDisk();
    this.incarnation = incarnation;
    this.clusterId = this.returnsTo = this.noted = undefined;
  }

  /** In what stands before the last batch of the log. */
  rot(): void {
    const [, newest] = [...(this.machine.disk.folders.folder([WAL_FOLDER])?.seen ?? [])].sort().at(-1) ?? [];
    if (!(newest instanceof SimFile)) throw new Error(`${this.name} has no log`);
    newest.rot(70);
  }

  /** Makes the newest value of a key another one, as a bit of a page that changed would. */
  harmState(value: string): void {
    const { store } = this;
    if (store === undefined) throw new Error(`${this.name} does not run`);
    const all = { start: Buffer.from([0]), end: Buffer.from([255]) };
    const harmed = [...store.range(all)].find((entry) => entry.value.includes(value));
    if (harmed === undefined) throw new Error(`${this.name} has no ${value}`);
    const bytes = Buffer.from(harmed.value);
    bytes[bytes.indexOf(value)]! ^= 1;
    store.transaction((transaction) => transaction.put(harmed.key, bytes));
  }

  /** As what looks at its store would. */
  found(harm: string): void {
    void this.withdrawal?.because(new SynodError('corrupt', harm));
  }

  private get next(): string {
    return `${this.incarnation}+`;
  }

  private async start(ports: NodePorts): Promise<void> {
    const common = { nodeId: this.name, founders: FOUNDERS, peerTransport: ports.transport, ports };
    const harm = await findHarm({
      disk: ports.disk,
      ...(this.noted === undefined ? {} : { noted: this.noted }),
      checkStore: () => Promise.resolve(),
    });
    if (harm !== undefined) {
      await returnFromHarm(harm, {
        ...common,
        folder: {
          clusterId: this.clusterId,
          checkRoomAside: () => Promise.resolve(),
          nameNext: () => Promise.resolve(this.next),
          setAside: () => {
            const returnsTo = this.clusterId;
            this.goBlank(this.next);
            this.returnsTo = returnsTo;
            this.machine.start();
            return new Promise<never>(() => undefined);
          },
        },
      });
    }
    const withdrawal = (this.withdrawal = new Withdrawal({
      checkRepairable: () => Promise.resolve(),
      canBeSpared: () => this.node?.canBeSpared === true,
      turn: () => this.node?.turn ?? 0,
      // As long as a disk takes.
      note: (harm) =>
        new Promise((resolve) => ports.timers.after(SECOND_US / 10, () => resolve(void (this.noted = harm)))),
      startAnew: () => {
        this.kill();
        this.machine.start();
      },
      ports,
    }));
    this.store = ports.store;
    this.node = await ConsensusNode.start({
      ...common,
      maintenance: { auditPeriodUs: SECOND_US },
      stateDiffers: () => void withdrawal.because(new SynodError('corrupt', 'the store holds another state')),
      incarnation: this.incarnation,
      joined: this.clusterId !== undefined,
      ...(this.returnsTo === undefined ? {} : { returnsTo: this.returnsTo }),
      advertised: { address: `${this.name}:2379` },
      store: ports.store,
      clientTransport: ports.transport,
      failed: (error) => (this.refusal = String(error)),
    });
    this.clusterId = this.node.founding.clusterId;
  }
}

class Cluster {
  readonly lines: string[] = [];
  readonly world: World;
  readonly members: readonly Member[];

  constructor(seed: number) {
    this.world = new World({ seed, onTraceLine: (line) => this.lines.push(line) });
    this.members = NAMES.map((name) => new Member(this.world, name));
  }

  start(): void {
    for (const { machine } of this.members) machine.start();
  }

  async serves(members: readonly Member[] = this.members): Promise<void> {
    const led = (): boolean => members.every(({ node }) => node !== undefined) && this.leader !== undefined;
    expect(await this.world.run(led)).toBe(true);
  }

  get leader(): ConsensusNode | undefined {
    return this.members.map(({ node }) => node).find((node) => node?.host.isLeader);
  }

  get doings(): string[] {
    return this.members.map(({ node, refusal }) => refusal ?? (node === undefined ? 'waits' : 'takes part'));
  }

  async pass(seconds: number): Promise<void> {
    await this.world.run(this.world.now + seconds * SECOND_US);
  }

  async settle<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const mark = (): void => void (settled = true);
    promise.then(mark, mark);
    await this.world.run(() => settled);
    return promise;
  }
}

describe('members with harmed logs', () => {
  it('one of them is back as another replica, and votes; a majority of others may be lost then', async () => {
    const cluster = new Cluster(1);
    const [n1, n2, n3] = cluster.members as [Member, Member, Member];
    cluster.start();
    await cluster.serves();
    await cluster.settle(n1.node!.host.put(put('k', 'v'), 'client'));
    await cluster.pass(2);
    const oldFolder = n2.incarnation;
    n2.kill();
    n2.rot();
    n2.machine.start();
    await cluster.serves();
    expect(n2.incarnation).not.toBe(oldFolder);
    expect(n2.returnsTo).toBe(n1.clusterId);
    expect(await cluster.world.run(() => n2.node!.members.every(({ learner }) => !learner))).toBe(true);
    expect(n2.node!.members.map(({ replicaId }) => replicaId).sort()).toEqual([1, 3, 4]);
    await cluster.pass(1);
    n3.kill();
    await cluster.world.run(() => [n1, n2].some(({ node }) => node?.host.isLeader));
    expect(await cluster.settle(n2.node!.host.range(under('k')))).toMatchObject({ count: 1n });
  });

  it('all of them ask, touch nothing, name it again and again, and found nothing: not with an empty founder either', async () => {
    const cluster = new Cluster(2);
    const [n1] = cluster.members as [Member, Member, Member];
    cluster.start();
    await cluster.serves();
    await cluster.pass(2);
    const folders = cluster.members.map(({ incarnation }) => incarnation);
    for (const member of cluster.members) {
      member.kill();
      member.rot();
    }
    cluster.start();
    await cluster.pass(100);
    expect(cluster.members.map(({ incarnation }) => incarnation)).toEqual(folders);
    expect(cluster.doings).toEqual(['waits', 'waits', 'waits']);
    const named = cluster.lines.filter((line) => line.includes('the data folder is harmed'));
    expect(named.length).toBeGreaterThanOrEqual(3 * 4);
    expect(named[0]).toMatch(/wal\/\d+\.wal is corrupt at offset \d+/);

    n1.goBlank('n1-blank');
    n1.machine.start();
    await cluster.pass(60);
    expect(cluster.members.map(({ incarnation }) => incarnation)).toEqual(['n1-blank', ...folders.slice(1)]);
    expect(cluster.doings).toEqual(['waits', 'waits', 'waits']);
  });

  // Invariant `founding-names-every-disk`: the folder of one that returns is empty, and still it is no founder.
  it('one that returns, set aside already, is not counted by founders whose disks are all gone', async () => {
    const cluster = new Cluster(4);
    const [n1, n2, n3] = cluster.members as [Member, Member, Member];
    cluster.start();
    await cluster.serves();
    const { clusterId } = n2;
    for (const member of [n1, n2, n3]) member.goBlank(`${member.incarnation}-2`);
    n2.returnsTo = clusterId;
    cluster.start();
    await cluster.pass(30);
    expect(cluster.doings).toEqual(['waits', 'waits', 'waits']);
    n2.goBlank('n2-disk-3');
    n2.machine.start();
    await cluster.serves();
  });

  it('is not taken in by another cluster at the addresses of its own', async () => {
    const cluster = new Cluster(3);
    const [n1, n2, n3] = cluster.members as [Member, Member, Member];
    cluster.start();
    await cluster.serves();
    await cluster.pass(2);
    const { clusterId, incarnation } = n3;
    for (const member of [n1, n2, n3]) member.goBlank(`${member.incarnation}-2`);
    cluster.start();
    await cluster.serves();
    await cluster.pass(2);
    n3.kill();
    n3.rot();
    n3.clusterId = clusterId;
    n3.machine.start();
    await cluster.pass(30);
    expect(n3.node).toBeUndefined();
    expect(n3.incarnation).toBe(`${incarnation}-2`);
    expect(cluster.lines.some((line) => line.includes('a node of another cluster answers'))).toBe(true);
  });
});

describe('a member whose state is not that of the others', () => {
  async function differs(seed: number, which: 'leader' | 'follower'): Promise<Cluster> {
    const cluster = new Cluster(seed);
    cluster.start();
    await cluster.serves();
    await cluster.settle(cluster.leader!.host.put(put('k', 'a value of its own'), 'client'));
    await cluster.pass(2);
    const leads = ({ node }: Member): boolean => node?.host.isLeader === true;
    const wrong = cluster.members.find((member) => leads(member) === (which === 'leader'))!;
    const oldFolder = wrong.incarnation;
    wrong.harmState('a value of its own');
    expect(await cluster.world.run(() => wrong.incarnation !== oldFolder)).toBe(true);
    expect(
      await cluster.world.run(() =>
        cluster.members.every(({ node }) => node?.members.every(({ learner }) => !learner)),
      ),
    ).toBe(true);
    await cluster.pass(5);
    expect(wrong.incarnation).toBe(`${oldFolder}+`);
    return cluster;
  }

  it.each(['leader', 'follower'] as const)(
    'is named, comes back with theirs, and changes are let through again: %s',
    async (which) => {
      const cluster = await differs(5, which);
      const [n1] = cluster.members as [Member];
      expect(n1.node!.host.alarms).toEqual([]);
      await cluster.settle(n1.node!.host.put(put('k', 'w'), 'client'));
      expect(cluster.lines.some((line) => line.includes('the states of members differ'))).toBe(true);
    },
  );

  // Invariant `withdraws-when-spared`.
  it('stays as long as the others cannot do without it', async () => {
    const cluster = new Cluster(6);
    const [n1, n2, n3] = cluster.members as [Member, Member, Member];
    cluster.start();
    await cluster.serves();
    await cluster.settle(n1.node!.host.put(put('k', 'a value of its own'), 'client'));
    await cluster.pass(2);
    const folders = cluster.members.map(({ incarnation }) => incarnation);
    n3.kill();
    n2.found('a page is not what it was');
    await cluster.pass(60);
    expect(cluster.members.map(({ incarnation }) => incarnation)).toEqual(folders);
    await cluster.settle(n1.node!.host.put(put('k', 'w'), 'client'));
    n3.machine.start();
    expect(await cluster.world.run(() => n2.incarnation !== folders[1])).toBe(true);
    await cluster.serves();
  });

  it('goes away for harm one at a time, also when all find it at once', async () => {
    const cluster = new Cluster(7);
    cluster.start();
    await cluster.serves();
    await cluster.settle(cluster.leader!.host.put(put('k', 'v'), 'client'));
    await cluster.pass(2);
    const folders = cluster.members.map(({ incarnation }) => incarnation);
    for (const member of cluster.members) member.found('a page is not what it was');
    const areAllBack = (): boolean =>
      cluster.members.every(({ incarnation }, index) => incarnation === `${folders[index]}+`);
    expect(await cluster.world.run(areAllBack)).toBe(true);
    await cluster.serves();
    expect(await cluster.settle(cluster.leader!.host.range(under('k')))).toMatchObject({ count: 1n });
  });
});
