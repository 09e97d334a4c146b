import type { NetworkShape } from './shape';
import { CALM, calmBut } from './shape';
import type { SimNode } from './sim-node';
import { addNoteNode, notes, texts, type NoteHost, type Seen } from './testing/echo';
import { World } from './world';

// Virtual time is bounded where it matters; a busy machine may take its own.
jest.setTimeout(60_000);

const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];
const SECOND = 1_000_000;

interface Pair {
  readonly world: World;
  readonly a: SimNode<NoteHost>;
  readonly b: SimNode<NoteHost>;
  /** What `a` sees of the conversation it dialled. */
  readonly up: Seen;
  /** What `b` sees of it. */
  down(): Seen;
}

/** Two nodes; `a` has dialled `b` and been accepted. */
async function pair(seed: number, shape: Partial<NetworkShape> = {}): Promise<Pair> {
  const world = new World({ seed, shape: calmBut(shape) });
  const [a, b] = [addNoteNode(world, 'a'), addNoteNode(world, 'b')];
  await world.run(() => a.host !== undefined && b.host !== undefined);
  const up = hostOf(a).dial('b:1');
  up.connection.send({ text: 'hello' });
  await world.run(() => hostOf(b).accepted[0]?.received.length === 1);
  return { world, a, b, up, down: () => hostOf(b).accepted[0] as Seen };
}

function hostOf(node: SimNode<NoteHost>): NoteHost {
  if (node.host === undefined) throw new Error(`${node.name} is down`);
  return node.host;
}

const both = [
  { from: 'a', to: 'b' },
  { from: 'b', to: 'a' },
];

describe.each(SEEDS)('a conversation (seed %i)', (seed) => {
  it('arrives in order and once, both ways, what one turn sent in one event', async () => {
    const { world, up, down } = await pair(seed);
    const sent = Array.from({ length: 60 }, (_, index) => `m${index}`);
    for (let turn = 0; turn < 20; turn++) {
      world.after(turn * 50, () => {
        for (const text of sent.slice(3 * turn, 3 * turn + 3)) {
          expect(up.connection.send({ text })).toBe(true);
          expect(down().connection.send({ text })).toBe(true);
        }
      });
    }
    await world.run(() => texts(up).length === 60 && texts(down()).length === 61);
    expect(texts(up)).toEqual(sent);
    expect(texts(down())).toEqual(['hello', ...sent]);
    for (const { received } of [up, { received: down().received.slice(1) }]) {
      const events = received.map(({ event }) => event);
      expect(events).toEqual(events.map((_, index) => events[index - (index % 3)]));
      expect(new Set(events).size).toBe(20);
    }
  });

  it('tells the other end of a close after everything sent before it, and this end nothing', async () => {
    const { world, up, down } = await pair(seed);
    up.connection.send({ text: 'last words' });
    up.connection.close();
    up.connection.close();
    expect(up.connection.send({ text: 'too late' })).toBe(false);
    down().connection.send({ text: 'to nobody' });
    await world.run(() => down().closed.length === 1);
    await world.run(world.now + 20 * SECOND);
    expect(texts(down())).toEqual(['hello', 'last words']);
    expect([up.closed, up.received, down().closed.length]).toEqual([[], [], 1]);
    expect(down().connection.send({ text: 'after the end' })).toBe(false);
  });

  it('keeps what a clog holds back, in order', async () => {
    const { world, up, down } = await pair(seed);
    world.network.clog([{ from: 'a', to: 'b' }]);
    for (let index = 0; index < 20; index++) world.after(index * 100, () => up.connection.send({ text: `m${index}` }));
    down().connection.send({ text: 'the other way is open' });
    await world.run(world.now + 30 * SECOND);
    expect(texts(down())).toEqual(['hello']);
    expect(texts(up)).toEqual(['the other way is open']);
    world.network.unclog([{ from: 'a', to: 'b' }]);
    await world.run(() => texts(down()).length === 21);
    expect(texts(down()).slice(1)).toEqual(Array.from({ length: 20 }, (_, index) => `m${index}`));
  });

  it('breaks at both ends, at different times, when a cut outlasts their patience', async () => {
    const { world, up, down } = await pair(seed);
    world.network.cut(both);
    expect(up.connection.send({ text: 'lost' })).toBe(true);
    await world.run(() => up.closed.length + down().closed.length === 2);
    expect(up.closed[0]?.at).not.toBe(down().closed[0]?.at);
    expect(world.now).toBeGreaterThan(CALM.network.silenceMinUs);
    world.network.uncut(both);
    await world.run(world.now + 20 * SECOND);
    expect(texts(down())).toEqual(['hello']);
    expect(up.connection.send({ text: 'gone' })).toBe(false);
  });

  it('survives a short cut without losing anything', async () => {
    const { world, up, down } = await pair(seed);
    world.network.cut(both);
    up.connection.send({ text: 'patience' });
    await world.run(world.now + 500_000);
    expect(texts(down())).toEqual(['hello']);
    world.network.uncut(both);
    await world.run(() => texts(down()).length === 2);
    await world.run(world.now + 20 * SECOND);
    expect([up.closed, down().closed]).toEqual([[], []]);
  });

  it('lets overlapping cuts end one by one', async () => {
    const { world, up, down } = await pair(seed, { silenceMinUs: 100 * SECOND, silenceMaxUs: 200 * SECOND });
    world.network.cut(both);
    world.network.cut([{ from: 'a', to: 'b' }]);
    world.network.uncut(both);
    up.connection.send({ text: 'held by the second cut' });
    down().connection.send({ text: 'passes' });
    await world.run(() => texts(up).length === 1);
    await world.run(world.now + SECOND);
    expect(texts(down())).toEqual(['hello']);
    world.network.uncut([{ from: 'a', to: 'b' }]);
    await world.run(() => texts(down()).length === 2);
  });

  it('tells both ends of a reset, and what was under way is lost', async () => {
    const { world, up, down } = await pair(seed);
    up.connection.send({ text: 'under way' });
    world.after(0, () => world.network.reset('b', 'a'));
    await world.run(() => up.closed.length === 1 && down().closed.length === 1);
    expect(up.closed[0]?.at).not.toBe(down().closed[0]?.at);
    expect(texts(down())).toEqual(['hello']);
  });
});

describe.each(SEEDS)('a dial (seed %i)', (seed) => {
  async function dialled(
    address: string,
    prepare: (world: World) => void = () => undefined,
    network: Partial<NetworkShape> = {},
  ): Promise<{ world: World; seen: Seen }> {
    const world = new World({ seed, shape: calmBut(network) });
    const a = addNoteNode(world, 'a');
    addNoteNode(world, 'deaf', false);
    addNoteNode(world, 'b');
    await world.run(() => a.host !== undefined);
    prepare(world);
    const seen = hostOf(a).dial(address);
    seen.connection.send({ text: 'is anyone there?' });
    await world.run(() => seen.closed.length === 1, 20 * SECOND);
    return { world, seen };
  }

  it('is refused at once by a machine without the process, or without the protocol', async () => {
    const dead = await dialled('b:1', (world) => world.node('b').kill('process'));
    expect([dead.seen.closed[0]?.reason, dead.world.now < 100_000]).toEqual(['connection refused', true]);
    expect(dead.seen.closed[0]?.refused).toBe(true);
    const deaf = await dialled('deaf:1');
    expect(deaf.seen.closed[0]?.reason).toContain('is not served');
    expect(deaf.seen.closed[0]?.refused).toBe(false);
  });

  it('may be refused by what cuts it off, in place of who is behind it', async () => {
    const { world, seen } = await dialled('b:1', (it) => it.network.cut(both), { rejectPermille: 1_000 });
    expect([seen.closed[0]?.refused, world.now < 100_000]).toEqual([true, true]);
  });

  it('runs out of time against a machine without power, behind a cut, paused, or unknown', async () => {
    const preparations: readonly (readonly [string, (world: World) => void])[] = [
      ['b:1', (world) => world.node('b').kill('power')],
      ['b:1', (world) => world.network.cut(both)],
      ['b:1', (world) => world.node('b').pause()],
      ['nowhere:1', () => undefined],
    ];
    for (const [address, prepare] of preparations) {
      const { world, seen } = await dialled(address, prepare);
      expect([seen.closed[0]?.reason, world.now >= CALM.network.dialTimeoutUs]).toEqual(['no answer', true]);
      expect(seen.connection.send({ text: 'closed' })).toBe(false);
    }
  });
});

describe.each(SEEDS)('a crash (seed %i)', (seed) => {
  it.each(['process', 'power'] as const)(
    'by %s ends the conversation of the other end, sooner or later, and of the dead one never',
    async (kind) => {
      const { world, b, up, down } = await pair(seed);
      const dead = down();
      b.kill(kind);
      up.connection.send({ text: 'to the dead' });
      expect(dead.connection.send({ text: 'from the dead' })).toBe(false);
      await world.run(() => up.closed.length === 1);
      expect(world.now > SECOND).toBe(kind === 'power');
      b.start();
      await world.run(world.now + SECOND);
      expect([dead.closed, texts(dead), texts(up)]).toEqual([[], ['hello'], []]);
      expect(hostOf(b).accepted).toEqual([]);
      const again = up.connection;
      expect(again.send({ text: 'on the old connection' })).toBe(false);
    },
  );

  it('of a paused receiver loses what waited for it; a mere pause delivers it', async () => {
    for (const end of ['resume', 'kill'] as const) {
      const { world, b, up, down } = await pair(seed);
      const seen = down();
      b.pause();
      up.connection.send({ text: 'meanwhile' });
      await world.run(world.now + SECOND);
      expect(texts(seen)).toEqual(['hello']);
      if (end === 'resume') b.resume();
      else b.kill('process');
      await world.run(world.now + SECOND);
      expect(texts(seen)).toEqual(end === 'resume' ? ['hello', 'meanwhile'] : ['hello']);
    }
  });
});

it('accepts no more than a queue holds', async () => {
  const { world, up, down } = await pair(1, { queueMax: 5 });
  world.network.clog(both);
  expect(Array.from({ length: 7 }, (_, index) => up.connection.send({ text: `m${index}` }))).toEqual([
    true,
    true,
    true,
    true,
    true,
    false,
    false,
  ]);
  world.network.unclog(both);
  await world.run(() => texts(down()).length === 6);
  expect(up.connection.send({ text: 'room again' })).toBe(true);
  expect(world.probes.count('network.queue-full')).toBe(2);
});

describe('datagrams', () => {
  const lossy = { datagramProtocols: [notes.name], lossPermille: 200, duplicatePermille: 200, delayMeanUsMax: 50_000 };

  it('are lost, repeated and reordered, the handshake excepted', async () => {
    let [lost, repeated, reordered] = [0, 0, 0];
    for (const seed of SEEDS) {
      const { world, up, down } = await pair(seed, lossy);
      for (let index = 0; index < 100; index++)
        world.after(index * 100, () => up.connection.send({ text: String(index) }));
      await world.run(world.now + 2 * SECOND);
      const got = texts(down());
      expect(got[0]).toBe('hello');
      const numbers = got.slice(1).map(Number);
      lost += 100 - new Set(numbers).size;
      repeated += numbers.length - new Set(numbers).size;
      reordered += numbers.filter((number, index) => number < (numbers[index - 1] ?? 0)).length;
      expect([up.closed, down().closed]).toEqual([[], []]);
    }
    expect(Math.min(lost, repeated, reordered)).toBeGreaterThan(20);
  });

  it('pass against a cut in one direction only, also on connections dialled meanwhile', async () => {
    const world = new World({
      seed: 3,
      shape: calmBut({ datagramProtocols: [notes.name] }),
    });
    const [a, b] = [addNoteNode(world, 'a'), addNoteNode(world, 'b')];
    await world.run(() => b.host !== undefined);
    world.network.cut([{ from: 'b', to: 'a' }]);
    const up = hostOf(a).dial('b:1');
    for (let index = 0; index < 5; index++) up.connection.send({ text: `m${index}` });
    await world.run(() => hostOf(b).accepted[0]?.received.length === 5);
    const down = hostOf(b).accepted[0] as Seen;
    down.connection.send({ text: 'into the void' });
    await world.run(world.now + 20 * SECOND);
    expect([texts(up), up.closed, down.closed]).toEqual([[], [], []]);
  });

  it('are no longer lost once the network is calm', async () => {
    const { world, up, down } = await pair(1, { ...lossy, lossPermille: 900 });
    world.network.calm();
    for (let index = 0; index < 100; index++) up.connection.send({ text: String(index) });
    await world.run(world.now + 2 * SECOND);
    expect(new Set(texts(down())).size).toBe(101);
  });
});

describe('messages', () => {
  it('are frozen once sent, so that a receiver that changes one is found out', async () => {
    const { world, up } = await pair(1);
    const note = { text: 'mine' };
    up.connection.send(note);
    await world.run(world.now + 10_000);
    expect(Object.isFrozen(note)).toBe(true);
  });

  it('fail the seed when bytes in them change after they were sent', async () => {
    const { world, up } = await pair(1);
    const note = { text: 'with bytes', bytes: Buffer.from('abc') };
    up.connection.send(note);
    world.after(1, () => note.bytes.fill(0));
    await expect(world.run(world.now + SECOND)).rejects.toMatchObject({ invariant: 'messages-unchanged-once-sent' });
  });

  it('travel as bytes in a seed with codecs: the receiver gets an equal object, not the same', async () => {
    const { world, a, up, down } = await pair(1, { codec: true });
    const note = { text: 'copied' };
    up.connection.send(note);
    await world.run(() => texts(down()).length === 2);
    expect(Object.isFrozen(note)).toBe(false);
    expect(a.state).toBe('running');
  });
});
