import { voters, type Message } from '@synod/paxos';
import { SimFile } from '@synod/simulation';
import { peerProtocol } from './peer-codec';
import type { PeerMessage } from './peer-messages';
import { OneGroup } from './testing/one-group';

const FOUNDERS = ['n1', 'n2', 'n3'];
/** Forgets at once whatever is flushed. */
const SHORT_LOG = { segmentBytes: 2_000, tailInstances: 0, tailBytes: 0 };
const NAMES = [...FOUNDERS, 'n4', 'n5', 'n6', 'n7'];

describe('members that come and go', () => {
  it.each([undefined, SHORT_LOG])(
    'moves a group onto other machines, one by one, with writes going on',
    async (log) => {
      const cluster = new OneGroup(1, NAMES, FOUNDERS, log);
      const words = [await cluster.write()];
      for (const [incoming, outgoing] of [
        ['n4', 'n1'],
        ['n5', 'n2'],
        ['n6', 'n3'],
      ] as const) {
        expect(await cluster.add(incoming, true)).toBe(true);
        words.push(await cluster.write());
        await cluster.converge();
        expect(await cluster.promote(incoming)).toBe(true);
        words.push(await cluster.write());
        expect(await cluster.remove(outgoing)).toBe(true);
        words.push(await cluster.write());
        expect(await cluster.world.run(() => cluster.removed.has(outgoing), 10_000_000)).toBe(true);
        cluster.world.node(outgoing).kill('process');
      }
      const { members } = await cluster.converge();
      expect(members.map(({ replicaId, nodeId, learner }) => [replicaId, nodeId, learner])).toEqual([
        [4, 'n4', false],
        [5, 'n5', false],
        [6, 'n6', false],
      ]);
      for (const name of ['n4', 'n5', 'n6']) expect(words.filter((word) => !cluster.host(name)!.has(word))).toEqual([]);
    },
  );

  it('tells a replica that was removed while it was down, which then never starts again', async () => {
    const cluster = new OneGroup(2, NAMES, FOUNDERS);
    await cluster.write();
    const victim = FOUNDERS.find((name) => cluster.leader!.status().leader !== name)!;
    cluster.world.node(victim).kill('power');
    expect(await cluster.remove(victim)).toBe(true);
    await cluster.write();
    cluster.world.node(victim).start();
    expect(await cluster.world.run(() => cluster.removed.has(victim), 20_000_000)).toBe(true);
    cluster.world.node(victim).kill('process');
    cluster.world.node(victim).start();
    await cluster.world.run(() => cluster.refusals.has(victim), 5_000_000).catch(() => undefined);
    expect(cluster.refusals.get(victim)).toContain(`${victim} was removed from group g and takes part no more`);
  });

  it('leaves late messages to a destroyed replica without any effect when its node is back as another one', async () => {
    const cluster = new OneGroup(4, NAMES, FOUNDERS);
    await cluster.write();
    const returned = cluster.world.node('n3');
    expect(await cluster.remove('n3')).toBe(true);
    expect(await cluster.world.run(() => cluster.removed.delete('n3'), 10_000_000)).toBe(true);
    returned.kill('power');
    returned.replaceDisk();
    expect(await cluster.add('n3', false)).toBe(true);
    await cluster.write();
    await cluster.converge();
    const { group } = cluster.host('n3')!;
    expect(group.status().replicaId).toBe(4);

    // What a member said before it heard of the removal, and the network kept until now.
    const sender = ['n1', 'n2'].find((name) => cluster.leader!.status().leader !== name)!;
    const from = FOUNDERS.indexOf(sender) + 1;
    cluster.world.node(sender).kill('process');
    const heard: PeerMessage[] = [];
    const late = cluster.world.addNode('late', (ports) => {
      const closed = (): void => undefined;
      return ports.transport.connect(peerProtocol(), 'n3:1', { receive: (message) => heard.push(message), closed });
    });
    late.start();
    const ballot = { round: 99, replica: from };
    const say = async (to: number): Promise<string[]> => {
      heard.length = 0;
      const words: Message[] = [
        { kind: 'prepare', ballot, firstInstance: 1 },
        { kind: 'accept', ballot, instance: 50, value: [Buffer.from('late')], chosenThrough: 0 },
      ];
      for (const message of words) late.host!.send({ kind: 'group', group: 'g', from, to, message });
      await cluster.world.run(cluster.world.now + 200_000);
      return heard.flatMap((message) => (message.kind === 'group' ? [message.message.kind] : []));
    };
    const logged = (): number[] =>
      [...(returned.disk.folders.folder(['wal'])?.seen.values() ?? [])].map((file) =>
        file instanceof SimFile ? file.size : 0,
      );
    await cluster.world.run(cluster.world.now + 100_000);
    const speaker = { clusterId: 'test', nodeId: sender, incarnation: `${sender}-disk`, speaks: 1, understands: 1 };
    late.host!.send({ kind: 'hello', ...speaker });
    await cluster.world.run(() => heard.length > 0);
    const before = { log: logged(), promised: group.status().promised };
    expect(await say(3)).toEqual([]);
    expect({ log: logged(), promised: group.status().promised }).toEqual(before);
    // The same words to the replica that is there have one.
    expect(await say(4)).toEqual(['promise', 'accepted']);
    expect(group.status().promised).toEqual(ballot);
  });

  it('hands over when the leader is removed, and refuses a change made for an old configuration', async () => {
    const cluster = new OneGroup(3, NAMES, FOUNDERS);
    await cluster.write();
    const old = cluster.leader!;
    const { leader } = old.status();
    const stale = { ...old.configuration, version: old.configuration.version + 2 };
    expect(await cluster.settle(old.change(stale), 1_000_000)).toEqual({ kind: 'conflict' });
    const before = cluster.world.now;
    expect(await cluster.remove(leader!)).toBe(true);
    await cluster.world.run(() => cluster.leader !== undefined && cluster.leader !== old);
    expect(cluster.world.now - before).toBeLessThan(300_000); // No election timeout.
    await cluster.write();
    const { members } = await cluster.converge();
    expect(members.map(({ nodeId }) => nodeId)).toEqual(FOUNDERS.filter((name) => name !== leader));
  });

  it.each(Array.from({ length: 12 }, (_, index) => index + 10))(
    'keeps every word, and serves on, whatever happens to its members (seed %i)',
    async (seed) => {
      // In half of the seeds whoever comes late finds the log cut off, and is handed the state and its configuration.
      const cluster = new OneGroup(seed, NAMES, FOUNDERS, seed % 2 === 0 ? SHORT_LOG : undefined);
      const draws = cluster.world.draws('test', 'changes');
      const words = [await cluster.write()];
      const spares = NAMES.filter((name) => !FOUNDERS.includes(name));
      for (let round = 0; round < 14; round++) {
        const configuration = cluster.leader?.configuration;
        const members = configuration?.members ?? [];
        const some = members.length > 0 ? draws.pick(members).nodeId! : 'n1';
        switch (draws.below(5)) {
          case 0: {
            const spare = spares.shift();
            if (spare !== undefined) await cluster.add(spare, draws.chance(1, 2));
            break;
          }
          case 1:
            await cluster.promote(some);
            break;
          case 2:
            if (configuration !== undefined && voters(configuration).length > 2) await cluster.remove(some);
            break;
          case 3:
            if (cluster.leader !== undefined) await cluster.settle(cluster.leader.transferLeadership(some), 3_000_000);
            break;
          case 4: {
            cluster.world.node(some).kill('power');
            if (draws.chance(1, 2)) await cluster.world.run(cluster.world.now + draws.below(3_000_000));
            cluster.world.node(some).start();
          }
        }
        words.push(await cluster.write());
      }
      const { members } = await cluster.converge();
      for (const { nodeId } of members) {
        expect(words.filter((word) => !cluster.host(nodeId!)!.has(word))).toEqual([]);
      }
    },
  );
});
