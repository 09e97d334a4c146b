import { forEachLine, LINE_SEPARATORS, type Emit, type MapReduceJob } from '@synod/mapreduce';
import type { GroupFunction, GroupValues } from './pairs';
import type { Program } from './program';

/** User code threw, or did what a program may not do. The message says where, for the user. */
export class UserProgramError extends Error {
  constructor(
    message: string,
    /** No other attempt could end better. */
    readonly fatal: boolean,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'UserProgramError';
  }
}

const TAB = 0x09;
const NEWLINE = 0x0a;

/**
 * A user's job as a program of the engine. Its functions see text: keys and values are UTF-8 strings.
 * @param exported the default export of the bundle
 * @throws {UserProgramError} fatal, if it is not `{map, reduce, combine?}`
 */
export function userProgram(exported: unknown): Program {
  const job = checkedJob(exported);
  return {
    separators: LINE_SEPARATORS,
    folding: 'all',
    map(document, chunk, sink) {
      const name = document.toString();
      const lines = Buffer.from(chunk.bytes.buffer, chunk.bytes.byteOffset, chunk.bytes.length);
      let emitted = 0;
      const take = (key: Buffer, value: Buffer): void => {
        sink.add(key, 0, key.length, value);
        emitted++;
      };
      forEachLine(lines, (start, end) => {
        const offset = chunk.offset + start;
        const record = {
          document: name,
          offset,
          line: lines.toString('utf8', start, end),
          bytes: lines.subarray(start, end),
        };
        guarded(take, `map failed on the line at byte ${offset} of ${name}`, (emit) => job.map(record, emit));
      });
      return emitted;
    },
    combine: job.combine === undefined ? undefined : userCombine(job),
    reduce(key, values, emit) {
      const text = key.toString();
      const take = (outKey: Buffer, value: Buffer): void => {
        checkLine(outKey, value);
        emit(outKey, value);
      };
      guarded(take, `reduce failed on the key ${quoted(text)}`, (emitText) =>
        job.reduce(text, texts(values), emitText),
      );
    },
    keepsKeys: false,
  };
}

function userCombine(job: MapReduceJob): GroupFunction {
  return (key, values, emit) => {
    const text = key.toString();
    const combined: Buffer[] = [];
    const take = (outKey: Buffer, value: Buffer): void => {
      if (!outKey.equals(key))
        throw new Error(`combine must emit under the key it was given, not ${quoted(outKey.toString())}`);
      combined.push(value);
    };
    guarded(take, `combine failed on the key ${quoted(text)}`, (emitText) =>
      job.combine?.(text, texts(values), emitText),
    );
    for (const value of combined.sort((a, b) => a.compare(b))) emit(key, value);
  };
}

/** Calls user code; what it emits once the call is over is dropped. */
function guarded(take: (key: Buffer, value: Buffer) => void, failure: string, call: (emit: Emit) => unknown): void {
  let open = true;
  try {
    const returned = call((key, value) => {
      if (open) take(textBytes(key, 'key'), textBytes(value, 'value'));
    });
    if (isThenable(returned)) throw new Error('it returned a promise; it must be synchronous');
  } catch (error) {
    throw new UserProgramError(`${failure}: ${describe(error)}`, false, { cause: error });
  } finally {
    open = false;
  }
}

function textBytes(value: unknown, what: string): Buffer {
  if (typeof value !== 'string' && typeof value !== 'number') {
    throw new TypeError(`emit needs a string or a number as ${what}, not ${value === null ? 'null' : typeof value}`);
  }
  return Buffer.from(String(value));
}

/** The output is lines of text: what would break a line is refused rather than written ambiguously. */
function checkLine(key: Buffer, value: Buffer): void {
  if (key.includes(TAB) || key.includes(NEWLINE)) {
    throw new Error(
      `the key ${quoted(key.toString())} holds a tab or a newline, which an output line cannot; escape it`,
    );
  }
  if (value.includes(NEWLINE)) {
    throw new Error(
      `a value of the key ${quoted(key.toString())} holds a newline, which an output line cannot; escape it`,
    );
  }
}

function* texts(values: GroupValues): Generator<string> {
  while (values.next()) yield values.bytes.toString('utf8', values.start, values.end);
}

function checkedJob(exported: unknown): MapReduceJob {
  const job = exported as Partial<Record<keyof MapReduceJob, unknown>> | null | undefined;
  for (const name of ['map', 'reduce'] as const) {
    if (typeof job?.[name] !== 'function') {
      throw new UserProgramError(
        `the program must export default {map, reduce, combine?}; ${name} is not a function`,
        true,
      );
    }
  }
  if (job?.combine !== undefined && typeof job.combine !== 'function') {
    throw new UserProgramError('the program exports a combine that is not a function', true);
  }
  return job as MapReduceJob;
}

function isThenable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

/** One line: the error and where in the user's source it was thrown. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const frame = /\n\s+at (?:.*\()?([^()\n]+:\d+:\d+)\)?/.exec(error.stack ?? '')?.[1];
  const where = frame === undefined || error.message.startsWith('emit needs') ? '' : ` (${frame})`;
  return `${error.name}: ${error.message}${where}`.replace(/\s*\n\s*/g, ' ');
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
