import type { Operation, Outcome } from '../history';
import type { ListOperation, ListStep } from '../list-history';
import type { RegisterInput, RegisterOperation, RegisterOutput } from '../register';
import type { Atomic, AtomicOperation, Put, Sight } from '../witness-order';

/**
 * Histories as text, an operation a line: `process from..to what`, where `to` is `?` for an unknown end and ends with `!` for a failure,
 * and `what` may end with ` @position`.
 */
function parse<I, O>(
  text: string,
  what: (words: string) => { readonly input: I; readonly output: O },
): Operation<I, O>[] {
  const lines = text.split('\n').map((line) => line.trim());
  return lines
    .filter((line) => line !== '')
    .map((line, index) => {
      const match = /^(\S+) +(\d+)\.\.(\d+|\?)(!?) +(.*?)(?: @(\d+))?$/.exec(line);
      if (match === null) throw new Error(`not an operation: ${line}`);
      const [, process = '', from = '', to = '', failed, words = '', position] = match;
      const { input, output } = what(words);
      return {
        index,
        process,
        invokedAt: Number(from),
        input,
        outcome: outcomeOf(to, failed === '!', output, position),
      };
    });
}

function outcomeOf<O>(to: string, failed: boolean, output: O, position: string | undefined): Outcome<O> {
  if (to === '?') return { type: 'info', at: 1_000_000, output };
  const at = Number(to);
  if (failed) return { type: 'fail', at, output };
  return { type: 'ok', at, output, ...(position === undefined ? {} : { position: BigInt(position) }) };
}

const valueOf = (word: string | undefined): { readonly value?: string } =>
  word === undefined || word === '-' ? {} : { value: word };

/** `write KEY VALUE`, `read KEY VALUE|-`, `delete KEY`, `cas KEY EXPECTED|- VALUE|- yes|no`. */
export function registerHistory(text: string): RegisterOperation[] {
  return parse<RegisterInput, RegisterOutput>(text, (words) => {
    const [f = '', key = '', first, second, swapped] = words.split(' ');
    switch (f) {
      case 'write':
        return { input: { f, key, value: first ?? '' }, output: {} };
      case 'read':
        return { input: { f, key }, output: valueOf(first) };
      case 'delete':
        return { input: { f, key }, output: {} };
      case 'cas': {
        const { value: expected } = valueOf(first);
        const input = { f, key, ...(expected === undefined ? {} : { expected }), ...valueOf(second) } as const;
        return { input, output: { swapped: swapped === 'yes' } };
      }
      default:
        throw new Error(`not an operation on a register: ${words}`);
    }
  });
}

/** Steps in brackets-free words, separated by commas: `append KEY VALUE`, `read KEY [1 2 3]`. */
export function listHistory(text: string): ListOperation[] {
  return parse<undefined, readonly ListStep[]>(text, (words) => {
    const steps = words.split(', ').map((step): ListStep => {
      const append = /^append (\S+) (\d+)$/.exec(step);
      if (append !== null) return { f: 'append', key: append[1] ?? '', value: Number(append[2]) };
      const read = /^read (\S+) \[([\d ]*)\]$/.exec(step);
      if (read === null) throw new Error(`not a step over lists: ${step}`);
      const list = (read[2] ?? '').split(' ').filter((number) => number !== '');
      return { f: 'read', key: read[1] ?? '', list: list.map(Number) };
    });
    return { input: undefined, output: steps };
  });
}

/** Steps separated by commas: `read KEY VALUE|-`, `read KEY VALUE of VERSION`, `not KEY VALUE|-`, `put KEY VALUE|-`. */
export function atomicHistory(text: string): AtomicOperation[] {
  return parse<undefined, Atomic>(text, (words) => {
    const reads: Sight[] = [];
    const writes: Put[] = [];
    for (const step of words.split(', ')) {
      const [f, key = '', word, , version] = step.split(' ');
      if (f === 'read')
        reads.push({ key, ...valueOf(word), ...(version === undefined ? {} : { version: BigInt(version) }) });
      else if (f === 'not') reads.push({ key, otherThan: valueOf(word).value });
      else if (f === 'put') writes.push({ key, ...valueOf(word) });
      else throw new Error(`not a step: ${step}`);
    }
    return { input: undefined, output: { reads, writes } };
  });
}
