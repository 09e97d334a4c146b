import type { RegisterInput, RegisterOperation, RegisterOutput } from './register';
import type { Atomic, AtomicOperation } from './witness-order';

/** Operations on single keys, in the form in which the witness order is checked; over all keys together, as positions are. */
export function asAtomic(operations: readonly RegisterOperation[]): AtomicOperation[] {
  return operations.map((operation): AtomicOperation => {
    const { input, outcome } = operation;
    if (outcome.type === 'ok')
      return { ...operation, outcome: { ...outcome, output: answered(input, outcome.output) } };
    return { ...operation, outcome: { type: outcome.type, at: outcome.at, output: unanswered(input) } };
  });
}

function answered(input: RegisterInput, output: RegisterOutput): Atomic {
  const { key } = input;
  switch (input.f) {
    case 'read':
      return { reads: [output.value === undefined ? { key } : { key, value: output.value }], writes: [] };
    case 'write':
    case 'delete':
      return unanswered(input);
    case 'cas': {
      if (output.swapped !== true) return { reads: [{ key, otherThan: input.expected }], writes: [] };
      const expected = input.expected === undefined ? { key } : { key, value: input.expected };
      return { reads: [expected], writes: unanswered(input).writes };
    }
  }
}

/** What it would have written. */
function unanswered(input: RegisterInput): Atomic {
  switch (input.f) {
    case 'read':
      return { reads: [], writes: [] };
    case 'delete':
      return { reads: [], writes: [{ key: input.key }] };
    case 'write':
    case 'cas':
      return {
        reads: [],
        writes: [input.value === undefined ? { key: input.key } : { key: input.key, value: input.value }],
      };
  }
}
