import type { Value } from './messages';

/** Decides nothing: what a new leader proposes where phase 1 found no vote, so that the log has no hole. */
export const NO_OP: Value = Object.freeze([]);

/** What one command costs in a page beside its own bytes: its length, and its share of the envelope. */
const COMMAND_OVERHEAD_BYTES = 8;

/** Size of a value for page bounds: close to its size on the wire, never below it by more than the envelope's. */
export function valueBytes(value: Value): number {
  let bytes = COMMAND_OVERHEAD_BYTES;
  for (const command of value) bytes += COMMAND_OVERHEAD_BYTES + command.length;
  return bytes;
}

/** Compares byte by byte: two messages that carry one value carry it in different arrays. */
export function sameValue(a: Value, b: Value): boolean {
  if (a === b) return true;
  return a.length === b.length && a.every((command, index) => sameBytes(command, b[index]));
}

function sameBytes(a: Uint8Array, b: Uint8Array | undefined): boolean {
  if (a === b) return true;
  return b !== undefined && a.length === b.length && a.every((byte, index) => byte === b[index]);
}
