import { InvariantViolation } from '@synod/invariant';
import { SeedFailure } from '@synod/simulation';
import type { SeedFault } from './seed-result';

/** A failure of the simulated world with the name of what broke. */
export class Broken extends Error {
  constructor(
    readonly by: SeedFault['by'],
    readonly broken: string,
    message: string,
  ) {
    super(message);
  }
}

export function faultOf(error: unknown): SeedFault {
  if (error instanceof Broken) return { name: error.broken, by: error.by, message: error.message };
  if (error instanceof SeedFailure) {
    // Thrown in the midst of an event: what broke has its own name.
    if (error.cause instanceof Broken) return { ...faultOf(error.cause), message: error.message };
    const by = error.invariant === 'uncaught' ? 'crash' : 'invariant';
    const stack = error.cause instanceof Error ? (error.cause.stack ?? '') : '';
    return { name: error.invariant, by, message: `${error.message}\n${stack}` };
  }
  if (error instanceof InvariantViolation) return { name: error.invariant, by: 'invariant', message: textOf(error) };
  return {
    name: 'uncaught',
    by: 'crash',
    message: textOf(error),
  };
}

export function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : JSON.stringify(error);
}
