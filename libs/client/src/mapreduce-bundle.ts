import { createRequire } from 'node:module';
import path from 'node:path';
import type * as Esbuild from 'esbuild';
import { SynodError } from '@synod/runtime';

/** A user program, ready to be sent. */
export interface ProgramBundle {
  /** The file's name, for lists and errors. */
  readonly name: string;
  /** A CommonJS module that needs nothing but Node's own modules. */
  readonly bundle: Uint8Array;
}

/**
 * Bundles `FILE.ts` (or .js, .mjs …) and all it imports into one module.
 * @throws {SynodError} `invalid-argument`, with file and line, if it does not compile
 */
export async function bundleProgram(file: string): Promise<ProgramBundle> {
  // Loaded when it is needed: no service but the command line ever bundles.
  const { build } = createRequire(__filename)('esbuild') as typeof Esbuild;
  try {
    const { outputFiles } = await build({
      entryPoints: [path.resolve(file)],
      bundle: true,
      write: false,
      platform: 'node',
      format: 'cjs',
      target: 'node20',
      // So that errors name lines of the user's file.
      sourcemap: 'inline',
      sourcesContent: false,
      sourceRoot: `${process.cwd()}/`,
      logLevel: 'silent',
    });
    const [output] = outputFiles;
    return { name: path.basename(file), bundle: output?.contents ?? new Uint8Array() };
  } catch (error) {
    throw new SynodError('invalid-argument', compileError(file, error), { cause: error });
  }
}

function compileError(file: string, error: unknown): string {
  const [first] = (error as Partial<Esbuild.BuildFailure>).errors ?? [];
  if (first === undefined)
    return `${file} cannot be bundled: ${error instanceof Error ? error.message : String(error)}`;
  const { location, text } = first;
  return location === null ? `${file}: ${text}` : `${location.file}:${location.line}:${location.column + 1}: ${text}`;
}
