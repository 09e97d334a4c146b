import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeDisk, describeRandom, describeTime, openDisk, systemClock, systemRandom, systemTimers } from './index';

describeTime('The machine', (scenario) => scenario({ clock: systemClock, timers: systemTimers }));

describeRandom('The operating system', () => systemRandom);

describeDisk('A folder', async (scenario) => {
  const folder = await mkdtemp(join(tmpdir(), 'synod-disk-'));
  try {
    await scenario({ disk: openDisk(folder), powerCut: () => Promise.resolve(openDisk(folder)) });
  } finally {
    await rm(folder, { recursive: true });
  }
});
