import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { buildSync } from 'esbuild';
import { openDisk } from '@synod/runtime';
import { Wal } from '@synod/wal';

let folder = '';
let program = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'synod-wal-'));
  program = join(folder, 'append-forever.cjs');
  const entryPoints = [join(__dirname, 'append-forever.ts')];
  buildSync({
    entryPoints,
    outfile: program,
    bundle: true,
    platform: 'node',
    tsconfig: join(__dirname, '../tsconfig.json'),
  });
});

afterAll(() => rm(folder, { recursive: true }));

/** Runs the child until it has acknowledged `count` records, then kills it; returns the highest number it acknowledged. */
async function runAndKill(count: number): Promise<number> {
  const child = spawn(process.execPath, [program, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  let acknowledged = -1;
  let seen = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    acknowledged = Math.max(acknowledged, Number(line));
    seen += 1;
    if (seen === count) child.kill('SIGKILL');
  }
  return acknowledged;
}

async function replay(): Promise<number[]> {
  const numbers: number[] = [];
  const wal = await Wal.open({
    disk: openDisk(folder),
    folder: 'wal',
    onRecord: ({ group, payload }) => {
      const number = payload.readUInt32BE(0);
      expect(group).toBe(`shard-${number % 3}`);
      expect(payload.length).toBe(4 + (number % 500));
      numbers.push(number);
    },
  });
  await wal.close();
  return numbers;
}

it('finds every acknowledged record, and no gap, after each kill -9 in the middle of appends', async () => {
  for (const count of [1, 700, 1_500]) {
    const acknowledged = await runAndKill(count);
    const numbers = await replay();
    expect(numbers).toEqual(numbers.map((_, index) => index));
    expect(numbers.length).toBeGreaterThan(acknowledged);
  }
}, 60_000);

it('answers tens of thousands of appends in seconds on a real disk', async () => {
  const appended = join(folder, 'throughput');
  const disk = openDisk(appended);
  await disk.makeFolder('');
  const wal = await Wal.open({ disk, folder: 'wal', onRecord: () => undefined });
  const payload = Buffer.alloc(100, 7);
  const client = async (): Promise<void> => {
    for (let i = 0; i < 1_000; i += 1) await wal.append([{ kind: 1, group: 'shard-1', payload }]);
  };
  await Promise.all(Array.from({ length: 64 }, client));
  await wal.close();
  let replayed = 0;
  await (await Wal.open({ disk, folder: 'wal', onRecord: () => (replayed += 1) })).close();
  expect(replayed).toBe(64_000);
}, 60_000);
