/** A seed that failed: what broke, where and when. The cause is the first error; later ones are its shadows. */
export class SeedFailure extends Error {
  constructor(
    /** Name of the broken invariant; `uncaught` for any other error of a node. */
    readonly invariant: string,
    readonly seed: number,
    readonly atUs: number,
    /** How many events had run. */
    readonly event: number,
    /** The node whose event it was; `world` for none. */
    readonly node: string,
    cause: unknown,
  ) {
    super(`seed ${seed}: ${invariant} at ${atUs} µs, event ${event}, on ${node}: ${textOf(cause)}`, { cause });
    this.name = 'SeedFailure';
  }
}

/** What a call on a port throws when the process it belongs to was killed meanwhile; nobody is left to see it. */
export class ProcessGone extends Error {
  constructor(node: string) {
    super(`the process of ${node} was killed`);
    this.name = 'ProcessGone';
  }
}

/** The name of the invariant that an error breaks, if it says so: an `InvariantViolation` of any copy of the library does. */
export function invariantOf(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'invariant' in error && typeof error.invariant === 'string') {
    return error.invariant;
  }
  return 'uncaught';
}

function textOf(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
}

/** Anything can be thrown; only errors are worth passing on. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
