import { prefixEnd, type Store, type Timers } from '@synod/runtime';

/** Keys removed in one transaction: well below what holds up the event loop. */
const KEYS_PER_STEP = 1_000;

/** Removes everything below a prefix, a step per event-loop turn. @param goesOn asked before each step */
export async function clearPrefix(store: Store, timers: Timers, prefix: Buffer, goesOn: () => boolean): Promise<void> {
  const range = { start: prefix, end: prefixEnd(prefix) ?? Buffer.from([0xff]), limit: KEYS_PER_STEP };
  while (goesOn()) {
    const keys = Array.from(store.range(range), ({ key }) => key);
    if (keys.length > 0) {
      store.transaction((transaction) => {
        for (const key of keys) transaction.remove(key);
      });
    }
    if (keys.length < KEYS_PER_STEP) return;
    await new Promise<void>((resolve) => timers.after(0, resolve));
  }
}
