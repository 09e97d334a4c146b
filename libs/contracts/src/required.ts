/**
 * A field that every sender of this release sets, although protobuf cannot say so.
 * @throws {TypeError} naming the field, if it is missing: the bytes are not from a sender that keeps the contract
 */
export function required<T>(value: T | null | undefined, field: string): T {
  if (value === null || value === undefined) throw new TypeError(`the message lacks ${field}`);
  return value;
}
