// Runs buf, from node_modules and without a network, on protos/.
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';

export const WORKSPACE = path.resolve(import.meta.dirname, '../..');
export const PROTOS = path.join(WORKSPACE, 'protos');

/** The buf program of this platform; straight, because its launcher would cost another Node process. */
export function bufProgram() {
  const require = createRequire(import.meta.url);
  const name = `@bufbuild/buf-${process.platform}-${process.arch}/bin/buf${process.platform === 'win32' ? '.exe' : ''}`;
  return require.resolve(name, { paths: [require.resolve('@bufbuild/buf/package.json')] });
}

/**
 * What buf prints on standard output, run in protos/ or a copy of it.
 * @throws {Error} if buf finds fault; what it found is on standard output (`stdout` of the error) or standard error
 */
export function buf(args, folder = PROTOS) {
  return execFileSync(bufProgram(), args, {
    cwd: folder,
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}
