import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeStore } from '@synod/runtime';
import { openStore, type LmdbStore } from './index';

describeStore('LMDB behind a memtable', async (scenario) => {
  const folder = await mkdtemp(join(tmpdir(), 'synod-store-'));
  let store: LmdbStore = await openStore({ folder });
  try {
    await scenario({
      store,
      powerCut: async () => {
        await store.close();
        return (store = await openStore({ folder }));
      },
    });
  } finally {
    await store.close();
    await rm(folder, { recursive: true });
  }
});
