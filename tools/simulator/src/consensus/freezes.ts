import type { Draws, World } from '@synod/simulation';
import type { FaultSetting } from './machine';

const SECOND_US = 1_000_000;
/** A leader stands still for longer than its lease and an election take, and is back among its peers a while after it went on. */
const FREEZE_US = { min: SECOND_US, max: 2.5 * SECOND_US };
const ALONE_US = { min: SECOND_US / 2, max: 1.5 * SECOND_US };

/**
 * Leaders whose process stands still while they are cut off from the other members, and goes on before they are back. Their clocks run on meanwhile, and
 * clients reach them: whoever still believes in a lease answers with the past.
 */
export function freezeLeaders(world: World, draws: Draws, { leader, machines, withinUs }: FaultSetting): void {
  const endUs = world.now + withinUs;
  for (let count = draws.between(2, 3); count > 0; count--) {
    const [startUs, forUs, aloneUs] = [
      draws.below(withinUs),
      draws.between(FREEZE_US.min, FREEZE_US.max),
      draws.between(ALONE_US.min, ALONE_US.max),
    ];
    world.after(startUs, () => {
      const frozen = leader();
      if (frozen === undefined || world.now >= endUs) return;
      const { name, node } = frozen;
      const others = machines.filter((other) => other.name !== name);
      const directions = others.flatMap((other) => [
        { from: name, to: other.name },
        { from: other.name, to: name },
      ]);
      world.network.cut(directions);
      node.pause();
      world.probes.sometimes('leader-frozen');
      world.after(forUs, () => node.resume());
      world.after(forUs + aloneUs, () => world.network.uncut(directions));
    });
  }
}
