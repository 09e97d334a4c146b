import { serviceDefinition } from '@synod/contracts';
import { GrpcChannels } from '@synod/rpc';
import { Latencies, type Report } from './report';

const DEADLINE_MS = 5_000;
const PUTS = 200;
const PUTS_AT_ONCE = 16;

/** What any etcd client does, over the same API: put, get, watch, lease, lock. */
export async function showCoordination(
  report: Report,
  endpoints: readonly string[],
): Promise<Record<string, number | string>> {
  const channels = new GrpcChannels();
  const endpoint = endpoints[0] ?? '';
  const kv = serviceDefinition('etcdserverpb.KV');
  const lease = serviceDefinition('etcdserverpb.Lease');
  const lock = serviceDefinition('v3lockpb.Lock');
  const deadline = { deadlineMs: DEADLINE_MS };
  const put = (key: string, value: string, leaseId = '0') =>
    channels.callUnary(
      endpoint,
      kv.Put,
      { key: Buffer.from(key), value: Buffer.from(value), lease: leaseId },
      deadline,
    );
  const get = async (key: string, from = endpoint): Promise<string | undefined> => {
    const { kvs } = await channels.callUnary(from, kv.Range, { key: Buffer.from(key) }, deadline);
    return kvs[0]?.value.toString();
  };

  const watch = watchPrefix(channels, endpoint, 'demo/');
  await watch.created;
  const { header } = await put('demo/greeting', 'hello');
  // Another member answers, and must know.
  const read = await get('demo/greeting', endpoints.at(-1));
  report.check('coordination: put, then get at another member', read === 'hello', `demo/greeting is ${read}`);

  await watch.seen((events) => events.includes('PUT demo/greeting hello'));
  report.check('coordination: watch', true, `told of revision ${header?.revision}`);

  const granted = await channels.callUnary(endpoint, lease.LeaseGrant, { TTL: 60 }, deadline);
  await put('demo/leased', 'while it lasts', granted.ID);
  const before = await get('demo/leased');
  await channels.callUnary(endpoint, lease.LeaseRevoke, { ID: granted.ID }, deadline);
  const after = await get('demo/leased');
  await watch.seen((events) => events.includes('DELETE demo/leased'));
  report.check(
    'coordination: lease',
    before === 'while it lasts' && after === undefined,
    'its key was there, and went with it',
  );

  const [first, second] = await Promise.all(
    [0, 1].map(() => channels.callUnary(endpoint, lease.LeaseGrant, { TTL: 60 }, deadline)),
  );
  const name = Buffer.from('demo/lock');
  const held = await channels.callUnary(endpoint, lock.Lock, { name, lease: first?.ID ?? '0' }, deadline);
  let second_held = false;
  const waiting = channels
    .callUnary(endpoint, lock.Lock, { name, lease: second?.ID ?? '0' }, deadline)
    .then(() => (second_held = true));
  await get('demo/lock'); // A round trip in which a lock that excludes nobody would have been granted.
  const excluded = !second_held;
  await channels.callUnary(endpoint, lock.Unlock, { key: held.key }, deadline);
  await waiting;
  report.check('coordination: lock', excluded, 'the second holder waited for the first to unlock');

  const latencies = new Latencies();
  const startedAt = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: PUTS_AT_ONCE }, async () => {
      while (next < PUTS) await latencies.time(() => put(`demo/key-${next++}`, 'value'));
    }),
  );
  const figures = latencies.figures((performance.now() - startedAt) / 1000);
  watch.close();
  channels.close();
  return figures;
}

/** The events of a prefix, as lines. */
function watchPrefix(channels: GrpcChannels, endpoint: string, prefix: string) {
  const lines: string[] = [];
  let changed: () => void = () => undefined;
  let opened: () => void = () => undefined;
  const created = new Promise<void>((resolve) => (opened = resolve));
  const stream = channels.openStream(endpoint, serviceDefinition('etcdserverpb.Watch').Watch, {
    receive: (response) => {
      if (response.created) opened();
      for (const { type, kv } of response.events) {
        lines.push(`${type} ${kv?.key.toString() ?? ''} ${kv?.value.toString() ?? ''}`.trim());
      }
      changed();
    },
    closed: () => changed(),
  });
  const key = Buffer.from(prefix);
  const rangeEnd = Buffer.from(prefix);
  rangeEnd[rangeEnd.length - 1] = (rangeEnd.at(-1) ?? 0) + 1;
  stream.send({ createRequest: { key, rangeEnd } });
  const seen = async (condition: (lines: readonly string[]) => boolean): Promise<void> => {
    const deadline = performance.now() + DEADLINE_MS;
    while (!condition(lines)) {
      if (performance.now() > deadline) throw new Error(`the watch told only of: ${lines.join('; ')}`);
      await Promise.race([
        new Promise<void>((resolve) => (changed = resolve)),
        new Promise<void>((resolve) => setTimeout(resolve, 100)),
      ]);
    }
  };
  return { created, seen, close: () => stream.close() };
}
