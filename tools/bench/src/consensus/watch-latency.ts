import { serviceDefinition } from '@synod/contracts';
import type { GrpcChannels } from '@synod/rpc';
import type { Sample } from '../measure';

const STREAMS = 10;
const KEY = Buffer.from('watched');
const CALL_MS = 10_000;

/**
 * How long after a put is sent each of many watchers hears of it: puts one at a time, each waited for by every watcher. An operation
 * is an event that arrived.
 * @param watchers spread over ten streams
 */
export async function watchLatency(
  channels: GrpcChannels,
  address: string,
  watchers: number,
  seconds: number,
): Promise<Sample> {
  const latenciesMs: number[] = [];
  let sentAt = 0;
  let awaited = watchers;
  let created: () => void = () => undefined;
  let heard: () => void = () => undefined;
  let broken: (reason: Error) => void = () => undefined;
  const lost = new Promise<never>((_, reject) => (broken = reject));
  const allCreated = new Promise<void>((resolve) => (created = resolve));
  const streams = Array.from({ length: STREAMS }, () =>
    channels.openStream(address, serviceDefinition('etcdserverpb.Watch').Watch, {
      receive: (response) => {
        if (response.created && --awaited === 0) created();
        for (let event = 0; event < response.events.length; event++) {
          latenciesMs.push(performance.now() - sentAt);
          if (--awaited === 0) heard();
        }
      },
      closed: (error) => broken(error ?? new Error('the server ended a watch')),
    }),
  );
  try {
    for (let index = 0; index < watchers; index++) {
      if (streams[index % STREAMS]?.send({ createRequest: { key: KEY } }) !== true)
        throw new Error('a watch was not sent');
    }
    await Promise.race([allCreated, lost]);
    const startedAt = performance.now();
    while (performance.now() - startedAt < seconds * 1000) {
      awaited = watchers;
      const allHeard = new Promise<void>((resolve) => (heard = resolve));
      sentAt = performance.now();
      const put = channels.callUnary(
        address,
        serviceDefinition('etcdserverpb.KV').Put,
        { key: KEY, value: KEY },
        { deadlineMs: CALL_MS },
      );
      await Promise.race([Promise.all([put, allHeard]), lost]);
    }
    return { operations: latenciesMs.length, seconds: (performance.now() - startedAt) / 1000, latenciesMs };
  } finally {
    for (const stream of streams) stream.close();
  }
}
