import { compareBallots, type Ballot } from './ballot';
import type { Value } from './messages';

/** First bytes of the first command of a value that names its ballot; the ballot follows: round u32, replica u32. No other command starts with 0. */
const TAG = Uint8Array.of(0x00, 0x66, 0x6e, 0x63);
const STAMP_BYTES = TAG.length + 8;

/** A caller's commands as their leader proposes them: with the ballot in which that happens first, whoever has to carry them later. */
export function stamped(commands: readonly Uint8Array[], { round, replica }: Ballot): Value {
  const stamp = new Uint8Array(STAMP_BYTES);
  stamp.set(TAG);
  const view = new DataView(stamp.buffer, TAG.length);
  view.setUint32(0, round);
  view.setUint32(4, replica);
  return [stamp, ...commands];
}

/** @returns the ballot that a value names; `undefined` for no-ops, changes, and what was proposed before values named theirs */
export function stampOf([stamp]: Value): Ballot | undefined {
  if (stamp?.length !== STAMP_BYTES || !TAG.every((byte, index) => stamp[index] === byte)) return undefined;
  const view = new DataView(stamp.buffer, stamp.byteOffset + TAG.length);
  return { round: view.getUint32(0), replica: view.getUint32(4) };
}

/**
 * Whether a value comes too late. Its proposer was deposed: a leader of a higher ballot has begun, and may have served on the assumption
 * that it knew whatever was chosen before. Such a value changes nothing (decision 0014).
 * @param term the highest ballot that any value below it names
 */
export function isFenced(value: Value, term: Ballot): boolean {
  const stamp = stampOf(value);
  return stamp !== undefined && compareBallots(stamp, term) < 0;
}
