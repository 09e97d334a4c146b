import { UsageError } from './failure';

/** One line of a transaction script. */
export type Step =
  | { readonly kind: 'get'; readonly key: Buffer }
  | { readonly kind: 'put'; readonly key: Buffer; readonly value: Buffer }
  | { readonly kind: 'del'; readonly key: Buffer };

const ARGUMENTS = { get: 1, put: 2, del: 1 } as const;

/**
 * Parses lines `get "k"`, `put "k" "v"`, `del "k"`; the strings are JSON, taken as UTF-8. Empty lines are skipped.
 * @throws {UsageError} naming the first line that is not one of these
 */
export function parseScript(text: string): Step[] {
  return text
    .split('\n')
    .map((line, index) => ({ line: line.trim(), number: index + 1 }))
    .filter(({ line }) => line !== '')
    .map(({ line, number }) => parseLine(line, number));
}

function parseLine(line: string, number: number): Step {
  const verb = /^(get|put|del)\s/.exec(line)?.[1] as keyof typeof ARGUMENTS | undefined;
  if (verb === undefined) throw new UsageError(`line ${number} begins with none of get, put, del: ${line}`);
  const values = strings(line.slice(verb.length), number);
  if (values.length !== ARGUMENTS[verb]) {
    throw new UsageError(`line ${number}: ${verb} takes ${ARGUMENTS[verb]} JSON string(s), ${values.length} given`);
  }
  const [key = Buffer.alloc(0), value = Buffer.alloc(0)] = values;
  if (key.length === 0) throw new UsageError(`line ${number}: the key is empty; a key has 1 to 1,024 bytes`);
  return verb === 'put' ? { kind: verb, key, value } : { kind: verb, key };
}

/** JSON strings separated by white space. */
function strings(text: string, number: number): Buffer[] {
  const values: Buffer[] = [];
  const token = /\s*("(?:[^"\\]|\\.)*")/y;
  while (text.slice(token.lastIndex).trim() !== '') {
    const start = token.lastIndex;
    const match = token.exec(text);
    if (match === null) throw new UsageError(`line ${number}: not a JSON string: ${text.slice(start).trim()}`);
    try {
      values.push(Buffer.from(JSON.parse(match[1] ?? '') as string));
    } catch {
      throw new UsageError(`line ${number}: not a JSON string: ${match[1]}`);
    }
  }
  return values;
}
