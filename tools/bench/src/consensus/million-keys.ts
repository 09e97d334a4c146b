import { setTimeout as pause } from 'node:timers/promises';
import { fillCall } from './calls';
import { Http2Load } from './http2-load';
import type { Trio } from './trio';

const KEYS = 1_000_000;
/** What one transaction of the etcd API may hold. */
const BATCH = 128;
const INFLIGHT = 32;
const PROBE_MS = 20;
/** What was loaded is compacted in memory and flushed to disk by then. */
const SETTLE_MS = 10_000;

export interface MillionKeys {
  readonly keysPerSecond: number;
  /** Of the member with the most anonymous memory. */
  readonly memoryBytes: number;
  /** From the start of a follower's process until it answers a linearizable read. */
  readonly startMs: number;
}

/** Loads a million keys of 100 bytes in transactions of 128 puts, looks at the memory, and restarts a follower on its data. */
export async function millionKeys(trio: Trio): Promise<MillionKeys> {
  const leader = await trio.leader();
  const load = new Http2Load(leader, INFLIGHT);
  const startedAt = performance.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < KEYS) {
      const first = next;
      next += BATCH;
      await load.call(fillCall(first, Math.min(BATCH, KEYS - first)));
    }
  };
  await Promise.all(Array.from({ length: INFLIGHT }, worker));
  const keysPerSecond = KEYS / ((performance.now() - startedAt) / 1000);
  load.close();
  await pause(SETTLE_MS);
  const memoryBytes = Math.max(...trio.memoryBytes());
  const follower = trio.addresses.find((address) => address !== leader) ?? leader;
  await trio.stop(follower, 'SIGTERM');
  const restartedAt = performance.now();
  trio.restart(follower);
  while (!(await trio.serves(follower))) await pause(PROBE_MS);
  return { keysPerSecond, memoryBytes, startMs: performance.now() - restartedAt };
}
