import { SeedFailure } from '../failure';
import { World } from '../world';

/** How a world ends in which a node leaves a rejection unhandled. (Jest takes such rejections for its own, so it cannot be seen there.) */
export async function main(): Promise<string> {
  const world = new World({ seed: 1 });
  world
    .addNode('n1', (ports) => {
      void ports.disk.open('missing');
      return {};
    })
    .start();
  world.after(1_000_000, () => world.fail(new Error('went on')));
  const failure = await world.run(2_000_000).catch((error: unknown) => error);
  return failure instanceof SeedFailure
    ? `${failure.invariant} on ${failure.node}: ${String(failure.cause)}`
    : 'no failure';
}
