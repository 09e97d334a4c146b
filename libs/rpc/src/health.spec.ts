import { serviceDefinition } from '@synod/contracts';
import { gate, withServer, type TestServer } from './test-server';

const { Check, List, Watch } = serviceDefinition('grpc.health.v1.Health');
const KV = 'etcdserverpb.KV';

function check({ channels, address }: TestServer, service: string) {
  return channels.callUnary(address, Check, { service }, { deadlineMs: 10_000 });
}

const withKv = (scenario: (bench: TestServer) => Promise<void>): Promise<void> =>
  withServer({}, (server) => server.addService(KV, {}), scenario);

describe('Health', () => {
  it('answers for the server and for each service', async () => {
    await withKv(async (bench) => {
      expect(await check(bench, '')).toEqual({ status: 'SERVING' });
      expect(await check(bench, KV)).toEqual({ status: 'SERVING' });
      bench.server.health.set(false, KV);
      expect(await check(bench, KV)).toEqual({ status: 'NOT_SERVING' });
      expect(await check(bench, '')).toEqual({ status: 'SERVING' });
      bench.server.health.set(false);
      expect(await check(bench, '')).toEqual({ status: 'NOT_SERVING' });
    });
  });

  it('does not know services that the server does not have', async () => {
    await withKv(async (bench) => {
      await expect(check(bench, 'no.Such')).rejects.toMatchObject({ kind: 'not-found' });
    });
  });

  it('lists all services', async () => {
    await withKv(async ({ channels, address, server }) => {
      server.health.set(false, KV);
      const { statuses } = await channels.callUnary(address, List, {}, { deadlineMs: 10_000 });
      expect(statuses).toMatchObject({ '': { status: 'SERVING' }, [KV]: { status: 'NOT_SERVING' } });
    });
  });

  it('tells watchers of each change, and of services that are yet to come', async () => {
    await withKv(async ({ channels, address, server }) => {
      const seen: string[] = [];
      const watching = (async () => {
        for await (const { status } of channels.callServerStream(address, Watch, { service: 'later.Service' }, {})) {
          seen.push(status);
          if (status === 'SERVICE_UNKNOWN') server.health.set(true, 'later.Service');
          if (status === 'SERVING') server.health.set(false, 'later.Service');
          if (status === 'NOT_SERVING') return;
        }
      })();
      await watching;
      expect(seen).toEqual(['SERVICE_UNKNOWN', 'SERVING', 'NOT_SERVING']);
    });
  });

  it('tells watchers that the server stops', async () => {
    await withKv(async ({ channels, address, server }) => {
      const first = gate();
      const seen: string[] = [];
      const watching = (async () => {
        for await (const { status } of channels.callServerStream(address, Watch, { service: KV }, {})) {
          seen.push(status);
          first.open();
        }
      })().catch((error: unknown) => seen.push((error as Error).message));
      await first.opened;
      await server.stop({ drainMs: 0 });
      await watching;
      expect(seen.slice(0, 2)).toEqual(['SERVING', 'NOT_SERVING']);
    });
  });
});
