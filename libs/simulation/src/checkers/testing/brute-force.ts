import { endOf, type Operation } from '../history';

/**
 * The slow, obvious twin of every checker of orders: tries all of them. Whether some order of the operations replays, in which nothing
 * comes before what had ended before it began; unknown operations may be left out.
 * @param step the state after an operation, or undefined if it cannot have happened there
 */
export function someOrderReplays<O extends Operation<unknown, unknown>, S>(
  operations: readonly O[],
  initial: S,
  step: (state: S, operation: O) => S | undefined,
): boolean {
  const candidates = operations.filter((operation) => operation.outcome.type !== 'fail');
  const search = (state: S, left: readonly O[]): boolean => {
    if (left.every((operation) => operation.outcome.type === 'info')) return true;
    return left.some((next) => {
      const rest = left.filter((other) => other !== next);
      if (rest.some((other) => endOf(other) < next.invokedAt)) return false;
      const after = step(state, next);
      return after !== undefined && search(after, rest);
    });
  };
  return search(initial, candidates);
}
