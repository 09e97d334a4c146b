import { readFile } from 'node:fs/promises';
import type { Drain } from '../driver';
import { World } from '../world';

/** The digest of a world in which a host waits for the real disk, which no trap sees. */
export async function main(drain: string): Promise<string> {
  const world = new World({ seed: 1, drain: drain as Drain });
  world
    .addNode('n1', (ports) => {
      const tick = (): void => void ports.timers.after(1_000, tick);
      tick();
      void readFile(__filename).then(
        () => ports.log.info('read'),
        () => ports.log.info('read'),
      );
      return {};
    })
    .start();
  await world.run(200_000_000);
  return world.trace.digest();
}
