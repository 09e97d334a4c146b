import { createHash } from 'node:crypto';
import path from 'node:path';
import type { mapreduceV1 } from '@synod/contracts';
import { SynodError } from '@synod/runtime';

export type Program =
  | { readonly kind: 'built-in'; readonly name: 'wordcount' | 'index' }
  | { readonly kind: 'user'; readonly name: string; readonly bundle: Buffer; readonly sha256: Buffer };

export type Input =
  { readonly kind: 'files'; readonly glob: string } | { readonly kind: 'store'; readonly prefix: Buffer };

/** What a client wants done, checked. */
export interface JobSpec {
  readonly program: Program;
  readonly input: Input;
  /** Absolute path of the output folder. */
  readonly output: string;
  /** Undefined: by the size of the input. */
  readonly partitions: number | undefined;
  readonly splitBytes: number;
}

const SPLIT_BYTES_DEFAULT = 64 * 1024 * 1024;
const PARTITIONS_MAX = 4_096;
const BUNDLE_BYTES_MAX = 3 * 1024 * 1024;
/** Below that a split costs more to schedule than to map. Tests go down to a byte. */
const SPLIT_BYTES_MIN = 1;

/** @throws {SynodError} `invalid-argument`, naming the field */
export function jobSpecOf(spec: mapreduceV1.JobSpec__Output | null): JobSpec {
  if (spec === null) throw invalid('spec is missing');
  const splitBytes = Number(spec.splitBytes) === 0 ? SPLIT_BYTES_DEFAULT : Number(spec.splitBytes);
  if (splitBytes < SPLIT_BYTES_MIN || splitBytes > 2 ** 40)
    throw invalid(`split_bytes ${splitBytes} is not from 1 to 2^40`);
  if (spec.reducers > PARTITIONS_MAX) throw invalid(`reducers ${spec.reducers} is above ${PARTITIONS_MAX}`);
  return {
    program: programOf(spec),
    input: inputOf(spec),
    output: outputOf(spec.output),
    partitions: spec.reducers === 0 ? undefined : spec.reducers,
    splitBytes,
  };
}

function programOf(spec: mapreduceV1.JobSpec__Output): Program {
  if (spec.program === 'user' && spec.user) {
    const { name, bundle } = spec.user;
    if (bundle.length === 0) throw invalid('user.bundle is empty');
    if (bundle.length > BUNDLE_BYTES_MAX) {
      throw invalid(
        `user.bundle has ${bundle.length} bytes, more than ${BUNDLE_BYTES_MAX}; leave large data out of it`,
      );
    }
    return {
      kind: 'user',
      name: name === '' ? 'user' : name,
      bundle,
      sha256: createHash('sha256').update(bundle).digest(),
    };
  }
  if (spec.builtIn === 'BUILT_IN_PROGRAM_WORDCOUNT') return { kind: 'built-in', name: 'wordcount' };
  if (spec.builtIn === 'BUILT_IN_PROGRAM_INDEX') return { kind: 'built-in', name: 'index' };
  throw invalid('program is missing: built_in or user');
}

function inputOf(spec: mapreduceV1.JobSpec__Output): Input {
  if (spec.input === 'store' && spec.store) return { kind: 'store', prefix: spec.store.prefix };
  if (spec.input !== 'files' || !spec.files) throw invalid('input is missing: files or store');
  const { glob } = spec.files;
  if (!path.isAbsolute(glob)) throw invalid(`files.glob ${JSON.stringify(glob)} is not an absolute path`);
  return { kind: 'files', glob };
}

function outputOf(output: string): string {
  if (!path.isAbsolute(output)) throw invalid(`output ${JSON.stringify(output)} is not an absolute path`);
  const folder = path.resolve(output);
  if (folder === path.dirname(folder)) throw invalid('output is the root folder');
  return folder;
}

function invalid(message: string): SynodError {
  return new SynodError('invalid-argument', message);
}
