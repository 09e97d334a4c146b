import { setTimeout as pause } from 'node:timers/promises';
import { serviceDefinition } from '@synod/contracts';
import type { Trio } from './trio';

const PUT_MS = 1_000;
const RETRY_MS = 5;
/** A member that was away has caught up by then, so that the next failure finds all three. */
const SETTLE_MS = 3_000;

/**
 * From SIGKILL of the leader to the next put that is acknowledged by another member, in milliseconds. Both survivors are asked, over and
 * over, as a client with several endpoints does.
 */
export async function failoverMs(trio: Trio): Promise<number> {
  const leader = await trio.leader();
  const killedAt = performance.now();
  const dead = trio.stop(leader, 'SIGKILL');
  const acknowledged = new AbortController();
  await Promise.any(
    trio.addresses.filter((address) => address !== leader).map((address) => put(trio, address, acknowledged.signal)),
  );
  const took = performance.now() - killedAt;
  acknowledged.abort();
  await dead;
  trio.restart(leader);
  await pause(SETTLE_MS);
  return took;
}

async function put({ channels }: Trio, address: string, signal: AbortSignal): Promise<void> {
  const { Put } = serviceDefinition('etcdserverpb.KV');
  const key = Buffer.from('failover');
  while (!signal.aborted) {
    try {
      await channels.callUnary(address, Put, { key, value: key }, { deadlineMs: PUT_MS });
      return;
    } catch {
      await pause(RETRY_MS);
    }
  }
}
