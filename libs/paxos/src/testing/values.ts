import type { Ballot } from '../ballot';
import type { Value } from '../messages';

/** A value of one command, by its text. */
export function value(text: string): Value {
  return [Buffer.from(text)];
}

/** `ballot('4.2')` is round 4 of replica 2. */
export function ballot(text: string): Ballot {
  const [round = 0, replica = 0] = text.split('.').map(Number);
  return { round, replica };
}
