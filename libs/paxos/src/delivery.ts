import type { Ballot } from './ballot';
import { changeIn } from './configuration';
import type { Delivery } from './effects';
import { isFenced, stampOf } from './fence';
import type { ChosenEntry } from './messages';

const NO_COMMANDS: readonly never[] = Object.freeze([]);

/**
 * An entry of the log as a state machine is to take it. Invariant `deposed-values-change-nothing`: what a ballot below `term` proposed is
 * taken without its commands.
 * @param term the highest ballot that any value below it in the log names
 */
export function deliveryOf({ instance, value }: ChosenEntry, term: Ballot): Delivery {
  if (isFenced(value, term)) return { instance, value, commands: NO_COMMANDS, term };
  const stamp = stampOf(value);
  const commands = changeIn(value) !== undefined ? NO_COMMANDS : stamp === undefined ? value : value.slice(1);
  return { instance, value, commands, term: stamp ?? term };
}
