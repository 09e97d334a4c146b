import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { buildSync } from 'esbuild';
import { checkStorePages, openStore } from '@synod/storage-engine';

const KEYS_PER_TRANSACTION = 120;

let folder = '';
/** Bundled beside this spec's project, so that it finds the native module. */
const program = join(__dirname, '../../../dist/e2e/commit-forever.cjs');

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'synod-store-'));
  const entryPoints = [join(__dirname, 'commit-forever.ts')];
  const tsconfig = join(__dirname, '../tsconfig.json');
  buildSync({ entryPoints, outfile: program, bundle: true, platform: 'node', external: ['lmdb'], tsconfig });
});

afterAll(async () => {
  await rm(folder, { recursive: true });
  await rm(program);
});

/** Runs the child until it has told of `count` flushes, then kills it; returns the number it knew to be durable. */
async function runAndKill(count: number): Promise<number> {
  const child = spawn(process.execPath, [program, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  let durable = -1;
  let seen = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    durable = Number(line);
    seen += 1;
    if (seen === count) child.kill('SIGKILL');
  }
  return durable;
}

it('finds everything flushed, and whole transactions only, after each kill -9', async () => {
  for (const count of [1, 5, 12]) {
    const durable = await runAndKill(count);
    // A kill is no harm.
    await checkStorePages(folder);
    const store = await openStore({ folder });
    const number = Number(store.get(Buffer.from('number')));
    expect(number).toBeGreaterThanOrEqual(durable);
    const keysOf = new Map<number, number>();
    for (const { key, value } of store.range({ start: Buffer.from('0'), end: Buffer.from('n') })) {
      const of = Number(key.toString().split('/')[1]);
      if (!value.equals(Buffer.alloc(100, of))) throw new Error(`${key.toString()} holds what was not written`);
      keysOf.set(of, (keysOf.get(of) ?? 0) + 1);
    }
    expect(keysOf.size).toBe(number + 1);
    expect(new Set(keysOf.values())).toEqual(new Set([KEYS_PER_TRANSACTION]));
    await store.close();
  }
}, 120_000);
