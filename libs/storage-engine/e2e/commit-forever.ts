// The child of kill.e2e.spec.ts: commits numbered transactions to the store of a folder until it is killed, flushing now and then, and
// tells up to which number it knows them to be durable.
import { writeSync } from 'node:fs';
import type { StoreTransaction } from '@synod/runtime';
import { openStore } from '@synod/storage-engine';

const KEYS_PER_TRANSACTION = 120;

/** Beside those that are counted: values of all sizes come and go, so that pages of every kind are freed and used again. */
function churn(tx: StoreTransaction, number: number): void {
  for (let key = 0; key < 20; key += 1) {
    const name = Buffer.from(`z/${(number * 31 + key * 7_919) % 3_000}`);
    if ((number + key) % 3 === 0) tx.remove(name);
    else tx.put(name, Buffer.alloc(key % 10 === 0 ? (number * 997) % 40_000 : (number * 13) % 500, key));
  }
}

async function main(folder: string): Promise<void> {
  const store = await openStore({ folder });
  let number = Number(store.get(Buffer.from('number')) ?? -1);
  for (;;) {
    for (let i = 0; i < 30; i += 1) {
      number += 1;
      store.transaction((tx) => {
        tx.put(Buffer.from('number'), Buffer.from(`${number}`));
        churn(tx, number);
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
