import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lockFolder } from './index';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'synod-lock-'));
});
afterEach(() => rm(folder, { recursive: true }));

it('gives a folder to one of many that want it at once, and names the holder to the others', async () => {
  await writeFile(join(folder, 'synod.lock'), `${deadPid()} 1\n`); // Of a process that was killed: all of them see it stale.
  const asked = await Promise.allSettled(Array.from({ length: 20 }, () => lockFolder(folder)));
  const held = asked.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  expect(held).toHaveLength(1);
  await expect(lockFolder(folder)).rejects.toMatchObject({
    kind: 'failed-precondition',
    message: expect.stringContaining(`in use by process ${process.pid}`) as string,
  });
  await held[0]?.release();
});

it('gives a folder again once it is released, and creates one that is missing', async () => {
  const missing = join(folder, 'a/b');
  for (let i = 0; i < 3; i += 1) await (await lockFolder(missing)).release();
  const other = await lockFolder(missing, 'other.lock');
  const lock = await lockFolder(missing);
  await Promise.all([other.release(), lock.release()]);
});

it('names a folder that cannot be one', async () => {
  const file = join(folder, 'a-file');
  await writeFile(file, '');
  await expect(lockFolder(file)).rejects.toMatchObject({
    kind: 'failed-precondition',
    message: expect.stringContaining(`the folder ${file} cannot be made`) as string,
  });
});

it('takes over from a holder that is gone, even if its pid lives again', async () => {
  await writeFile(join(folder, 'synod.lock'), `${process.ppid} 12345\n`);
  const lock = await lockFolder(folder);
  expect(await readFile(join(folder, 'synod.lock'), 'utf8')).toMatch(new RegExp(`^${process.pid} \\d+\n$`));
  await lock.release();
});

function deadPid(): number {
  return spawnSync(process.execPath, ['-e', '']).pid;
}
