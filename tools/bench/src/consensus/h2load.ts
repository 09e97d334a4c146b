import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Sample } from '../measure';
import type { PreparedCall } from './calls';

const STREAMS_PER_CONNECTION = 64;

/** Whether nghttp2's load generator is there (Debian: nghttp2-client). It costs a fraction of what one in JavaScript does. */
export const H2LOAD_MISSING = spawnSync('h2load', ['--version']).error !== undefined;

/** Keeps `inflight` calls, all the same, going for `seconds`, which it counts whole. */
export async function h2load(address: string, call: PreparedCall, inflight: number, seconds: number): Promise<Sample> {
  const wholeSeconds = Math.ceil(seconds);
  const folder = await mkdtemp(path.join(tmpdir(), 'synod-h2load-'));
  try {
    const [body, log] = [path.join(folder, 'body'), path.join(folder, 'log')];
    await writeFile(body, call.body);
    const connections = Math.ceil(inflight / STREAMS_PER_CONNECTION);
    const { stdout } = await promisify(execFile)('h2load', [
      ...[
        '-D',
        String(wholeSeconds),
        '-c',
        String(connections),
        '-m',
        String(Math.min(inflight, STREAMS_PER_CONNECTION)),
      ],
      ...['-H', 'content-type: application/grpc', '-H', 'te: trailers', '-d', body, '--log-file', log],
      `http://${address}${call.path}`,
    ]);
    const errors = /, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(stdout);
    if (errors?.slice(1).some((count) => count !== '0') !== false) throw new Error(`h2load met errors:\n${stdout}`);
    const rows = (await readFile(log, 'utf8')).trim().split('\n');
    return {
      operations: rows.length,
      seconds: wholeSeconds,
      latenciesMs: rows.map((row) => Number(row.split('\t')[2]) / 1000),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
