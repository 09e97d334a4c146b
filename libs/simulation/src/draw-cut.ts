import type { Draws } from './draw';
import type { CutForm } from './fault-plan';
import type { Direction } from './network';

/**
 * The directions in which nothing passes, by form: `partition` into two sides, `one-way` from one side to the other, `ring` in which each
 * server still reaches a majority but none the same one, `bridge` of one server between two halves that do not see each other.
 * Clients land on either side; in a ring they reach everyone.
 */
export function drawCut(
  form: CutForm,
  servers: readonly string[],
  clients: readonly string[],
  draws: Draws,
): Direction[] {
  const order = draws.shuffled(servers);
  switch (form) {
    case 'partition':
      return between(...sides(order, clients, draws), 'both');
    case 'one-way':
      return between(...sides(order, clients, draws), 'one-way');
    case 'bridge': {
      const rest = order.slice(1);
      const middle = Math.ceil(rest.length / 2);
      return between(rest.slice(0, middle), rest.slice(middle), 'both');
    }
    case 'ring':
      return ringOf(order);
  }
}

/** Sizes are as likely as each other, so that the smallest side is not the rarest. */
function sides(order: readonly string[], clients: readonly string[], draws: Draws): [string[], string[]] {
  const size = order.length < 2 ? 1 : draws.between(1, order.length - 1);
  const [left, right] = [order.slice(0, size), order.slice(size)];
  for (const client of clients) (draws.chance(1, 2) ? left : right).push(client);
  return [left, right];
}

function ringOf(order: readonly string[]): Direction[] {
  const count = order.length;
  // With itself and this many on either hand a server reaches a majority. Below five that is everyone: then only one pair is cut.
  const hand = Math.ceil(Math.floor(count / 2) / 2);
  if (2 * hand + 1 >= count) return between(order.slice(0, 1), order.slice(1, 2), 'both');
  const far = (a: number, b: number): boolean => Math.min((a - b + count) % count, (b - a + count) % count) > hand;
  return order.flatMap((from, a) => order.filter((_, b) => far(a, b)).map((to) => ({ from, to })));
}

function between(left: readonly string[], right: readonly string[], way: 'both' | 'one-way'): Direction[] {
  const there = left.flatMap((from) => right.map((to) => ({ from, to })));
  return way === 'one-way' ? there : [...there, ...there.map(({ from, to }) => ({ from: to, to: from }))];
}
