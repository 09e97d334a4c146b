/** A broken invariant: a bug in Synod, never a condition of the world. The process that sees one stops. */
export class InvariantViolation extends Error {
  constructor(
    /** The invariant's name, as at the field it constrains and in the simulation property that hunts it. */
    readonly invariant: string,
    detail: string,
  ) {
    super(`invariant ${invariant} is broken${detail === '' ? '' : `: ${detail}`}`);
    this.name = 'InvariantViolation';
  }
}

/**
 * Asserts a named invariant; in production too, because an answer given after a broken invariant is worse than none.
 * @param detail evaluated only on failure, so it may be costly
 * @throws {InvariantViolation} if `holds` is false
 */
export function invariant(holds: boolean, name: string, detail: () => string = () => ''): asserts holds {
  if (!holds) throw new InvariantViolation(name, detail());
}

/** Closes a `switch` over a union: does not compile while a case is unhandled. */
export function unreachable(value: never): never {
  throw new InvariantViolation('closed-union', JSON.stringify(value));
}
