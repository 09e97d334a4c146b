// The child of kill.e2e.spec.ts: commits numbered transactions to the store of a folder until it is killed, flushing now and then, and
// tells up to which number it knows them to be durable.
import { writeSync } from 'node:fs';
import { openStore } from '@synod/storage-engine';

const KEYS_PER_TRANSACTION = 120;

async function main(folder: string): Promise<void> {
  const store = await openStore({ folder });
  let number = Number(store.get(Buffer.from('number')) ?? -1);
  for (;;) {
    for (let i = 0; i < 30; i += 1) {
      number += 1;
      store.transaction((tx) => {
        tx.put(Buffer.from('number'), Buffer.from(`${number}`));
        for (let key = 0; key < KEYS_PER_TRANSACTION; key += 1) {
          tx.put(Buffer.from(`${(number * 7919 + key * 104_729) % 65_536}/${number}`), Buffer.alloc(100, number));
        }
      });
    }
    const committed = number;
    const flushed = store.flush().then(() => writeSync(1, `${committed}\n`));
    // Half of the time the next transactions are made while the flush is under way.
    await (number % 60 < 30 ? flushed : new Promise((resolve) => setImmediate(resolve)));
  }
}

void main(process.argv[2] ?? '');
