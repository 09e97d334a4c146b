import { mkdtempSync, rmSync } from 'node:fs';
import { request, type RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { TlsMaterial } from '@synod/rpc';
import { silentLog } from '@synod/runtime';
import { TestAuthority } from '@synod/test-authority';
import { Metrics } from './metrics';
import { StatusServer } from './status-server';

async function withStatus(ready: () => string | undefined, scenario: (url: string, metrics: Metrics) => Promise<void>) {
  const metrics = new Metrics({ service: 'test', node: 'n1' });
  const server = new StatusServer(metrics, ready);
  const { port } = await server.listen('127.0.0.1:0');
  try {
    await scenario(`http://127.0.0.1:${port}`, metrics);
  } finally {
    await server.stop();
  }
}

async function get(url: string): Promise<{ status: number; text: string }> {
  const response = await fetch(url);
  return { status: response.status, text: await response.text() };
}

function getSecure(options: RequestOptions): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', agent: false, ...options }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    })
      .on('error', reject)
      .end();
  });
}

describe('StatusServer', () => {
  it('answers probes: alive always, ready when the service can work', async () => {
    let obstacle: string | undefined = 'no quorum';
    await withStatus(
      () => obstacle,
      async (url) => {
        expect(await get(`${url}/healthz`)).toEqual({ status: 200, text: 'ok\n' });
        expect(await get(`${url}/readyz?verbose`)).toEqual({ status: 503, text: 'no quorum\n' });
        obstacle = undefined;
        expect(await get(`${url}/readyz`)).toEqual({ status: 200, text: 'ok\n' });
        expect((await get(`${url}/`)).status).toBe(404);
      },
    );
  });

  it('tells Prometheus of calls, batches, the event loop, and what the service adds', async () => {
    await withStatus(
      () => undefined,
      async (url, metrics) => {
        metrics.rpc.callEnded('/p.S/M', 'NOT_FOUND', 0.002);
        metrics.rpc.streamOpened('/p.S/Exchange');
        metrics.rpc.batchSent?.('/p.S/Exchange', 7, 100);
        metrics.rpc.batchReceived?.('/p.S/Exchange', 3, 40);
        metrics.gauge('synod_test_depth', 'A depth.', ['queue'], () => [{ labels: { queue: 'in' }, value: 5 }]);
        const { text } = await get(`${url}/metrics`);
        for (const line of [
          'synod_rpc_calls_total{method="/p.S/M",code="NOT_FOUND",service="test",node="n1"} 1',
          'synod_rpc_seconds_count{service="test",node="n1",method="/p.S/M"} 1',
          'synod_rpc_streams{method="/p.S/Exchange",service="test",node="n1"} 1',
          'synod_stream_messages_total{method="/p.S/Exchange",direction="sent",service="test",node="n1"} 7',
          'synod_stream_bytes_total{method="/p.S/Exchange",direction="received",service="test",node="n1"} 40',
          'synod_test_depth{queue="in",service="test",node="n1"} 5',
        ]) {
          expect(text).toContain(line);
        }
        expect(text).toMatch(/nodejs_eventloop_lag_seconds/);
      },
    );
  });

  it("serves the service's own pages, over TLS too, on several addresses", async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'synod-status-'));
    const authority = await TestAuthority.create('authority');
    const { cert, key } = await authority.issue(folder, 'server');
    const tls = new TlsMaterial(
      { identity: { cert: { path: cert, name: 'cert' }, key: { path: key, name: 'key' } } },
      silentLog,
    );
    const pages = { '/health': () => ({ status: 503, body: { health: 'false' } }) };
    const server = new StatusServer(new Metrics({ service: 'test', node: 'n1' }), () => undefined, pages);
    try {
      const [plain, secure] = [await server.listen('127.0.0.1:0'), await server.listen('127.0.0.1:0', tls)];
      const expected = { status: 503, text: '{"health":"false"}' };
      expect(await get(`http://127.0.0.1:${plain.port}/health`)).toEqual(expected);
      expect(await getSecure({ port: secure.port, path: '/health', ca: authority.pem })).toEqual(expected);
      await authority.issue(folder, 'server');
      tls.look();
      expect(await getSecure({ port: secure.port, path: '/health', ca: authority.pem })).toEqual(expected);
      expect((await get(`http://127.0.0.1:${plain.port}/toString`)).status).toBe(404);
    } finally {
      await server.stop();
      tls.close();
      rmSync(folder, { recursive: true });
    }
  });

  it('names the address that is in use', async () => {
    await withStatus(
      () => undefined,
      async (url) => {
        const address = url.slice('http://'.length);
        const second = new StatusServer(new Metrics({ service: 'test', node: 'n2' }), () => undefined);
        await expect(second.listen(address)).rejects.toMatchObject({
          kind: 'unavailable',
          message: expect.stringContaining(`cannot serve HTTP on ${address}: `) as string,
        });
      },
    );
  });
});
