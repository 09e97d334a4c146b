import { describeDisk, describeRandom, describeStore, describeTime, type Disk, type Store } from '@synod/runtime';
import { CALM } from './shape';
import type { NodePorts } from './sim-node';
import { World } from './world';

// Virtual time is bounded where it matters; a busy machine may take its own.
jest.setTimeout(60_000);

let seed = 1;

/** Runs a scenario as the host of a node, turning virtual time until it is over. */
async function onNode(
  scenario: (ports: NodePorts, world: World) => Promise<void> | void,
  world = new World({ seed: seed++ }),
): Promise<void> {
  let over = false;
  world
    .addNode('n', async (ports) => {
      await scenario(ports, world);
      over = true;
    })
    .start();
  expect(await world.run(() => over)).toBe(true);
}

/** Cuts the power of the node and gives the ports of a next life; the life before it is fenced off, so it cannot wait for this. */
describe.each([1, 2])('with fate %i', (fate) => {
  describeDisk('SimDisk', async (scenario) => {
    const world = new World({ seed: 1000 + fate });
    await throughLives(world, (ports) => ports.disk, scenario);
  });
  describeStore('SimStore', async (scenario) => {
    const world = new World({ seed: 2000 + fate });
    await throughLives(
      world,
      (ports) => ports.store,
      ({ disk, powerCut }) => scenario({ store: disk, powerCut }),
    );
  });
});

/**
 * A scenario that outlives the process under it: it runs beside the world, its port calls are answered by the life of the moment.
 */
async function throughLives<P extends Disk | Store>(
  world: World,
  portOf: (ports: NodePorts) => P,
  scenario: (bench: { readonly disk: P; powerCut(): Promise<P> }) => Promise<void> | void,
): Promise<void> {
  const node = world.addNode<NodePorts>('n', (ports) => ports);
  const boot = (): Promise<P> =>
    new Promise((resolve) => {
      world.after(0, () => {
        node.kill('power');
        node.start();
        world.after(1, () => {
          if (node.host !== undefined) resolve(portOf(node.host));
        });
      });
    });
  let over = false;
  let failure: Error | undefined;
  world.after(0, () => {
    void (async () => {
      try {
        await scenario({ disk: await boot(), powerCut: boot });
      } catch (error) {
        failure = error as Error;
      }
      over = true;
    })();
  });
  expect(await world.run(() => over)).toBe(true);
  if (failure !== undefined) throw failure;
}

describeTime('SimClock', (scenario) => onNode((ports) => scenario(ports)));
describeTime('SimClock that drifts, with late timers', async (scenario) => {
  const shape = { ...CALM, timers: { latenessUsMax: 20_000, turnUsMax: 500 } };
  const world = new World({ seed: seed++, shape });
  await onNode((ports) => {
    world.node('n').clock.setError({ wallOffsetMs: -5_000, driftPpm: -200, wallDriftPpm: 100_000 });
    return scenario(ports);
  }, world);
});
describeRandom('Draws', () => new World({ seed: seed++ }).draws('host', 'n'));
