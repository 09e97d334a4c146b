import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request as requestInTheClear } from 'node:http';
import { connect as connectHttp2, constants } from 'node:http2';
import { request as requestSecurely, type RequestOptions } from 'node:https';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { serviceDefinition } from '@synod/contracts';
import { silentLog } from '@synod/runtime';
import { TestAuthority, type IssuedFiles } from '@synod/test-authority';
import { GrpcChannels } from './channels';
import { GrpcServer } from './grpc-server';
import type { PageHandler } from './pages';
import { TlsMaterial } from './tls-files';

const { Check } = serviceDefinition('grpc.health.v1.Health');

interface Answer {
  readonly status: number;
  readonly body: string;
}

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

/** Says what it was asked. */
const echo: PageHandler = ({ method, path }) => ({ status: 203, body: `${method} ${path}` });

async function serve(pages: PageHandler | undefined, tls?: TlsMaterial): Promise<number> {
  const grpc = new GrpcServer({ log: silentLog, fault: () => undefined, ...(pages && { pages }) });
  const { port } = await grpc.listen('127.0.0.1:0', tls);
  open.push({ close: () => grpc.stop({ drainMs: 0 }) });
  return port;
}

function getByHttp1(
  options: RequestOptions & Pick<TlsOptions, 'ALPNProtocols'>,
  request = requestInTheClear,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', path: '/health?full', agent: false, ...options }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    asked.on('error', reject).end();
  });
}

function getByHttp2(url: string, ca?: string, page = '/health?full'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(url, ca === undefined ? {} : { ca });
    session.on('error', reject);
    const stream = session.request({ ':path': page });
    let status = 0;
    let body = '';
    stream.on('response', (headers) => (status = Number(headers[constants.HTTP2_HEADER_STATUS])));
    stream.on('data', (chunk: Buffer) => (body += chunk.toString()));
    stream.on('error', reject);
    stream.on('end', () => {
      session.close();
      resolve({ status, body });
    });
  });
}

async function health(port: number, material?: TlsMaterial): Promise<unknown> {
  const channels = new GrpcChannels({}, material && { material });
  open.push(channels);
  return channels.callUnary(`127.0.0.1:${port}`, Check, {}, { deadlineMs: 10_000, idempotent: true });
}

function connect(port: number): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1', () => resolve(socket));
    socket.on('error', () => undefined);
    open.push({ close: () => socket.destroy() });
  });
}

/** Everything that a connection is told until it is closed. */
function told(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  return new Promise((resolve) => socket.on('close', () => resolve(text)));
}

describe('pages in the clear', () => {
  it('are answered over either HTTP on the port of the gRPC calls', async () => {
    const port = await serve(echo);
    const answer = { status: 203, body: 'GET /health' };
    expect(await getByHttp1({ port })).toEqual(answer);
    expect(await getByHttp2(`http://127.0.0.1:${port}`)).toEqual(answer);
    expect(await health(port)).toEqual({ status: 'SERVING' });
    expect((await getByHttp1({ port, method: 'POST' })).body).toBe('POST /health');
  });

  it('take one request a connection, in as many pieces as it comes', async () => {
    const socket = await connect(await serve(echo));
    const all = told(socket);
    socket.write('GE');
    socket.write('T /a HTTP/1.1\r\nHost: x\r\n');
    socket.write('\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n');
    expect((await all).match(/GET \/./g)).toEqual(['GET /a']);
  });

  it('are no place for bytes that are no HTTP', async () => {
    const port = await serve(echo);
    const socket = await connect(port);
    socket.write(Buffer.from([0, 1, 2, 3, 255, 254]));
    expect(await told(socket)).toMatch(/^HTTP\/1.1 400 /);
    expect(await health(port)).toEqual({ status: 'SERVING' });
  });

  it('are answered whatever is asked for, and whatever becomes of it', async () => {
    const port = await serve(({ path: asked }) => {
      if (asked === '/broken') throw new Error('a gauge is stuck');
      return { status: 203, body: asked };
    });
    for (const odd of ['//', '//x:99999', '/\\\\', '/http://[', '/%', '/?/']) {
      expect(await getByHttp1({ port, path: odd })).toMatchObject({ status: 203 });
      expect(await getByHttp2(`http://127.0.0.1:${port}`, undefined, odd)).toMatchObject({ status: 203 });
    }
    const broken = { status: 500, body: 'this cannot be shown: a gauge is stuck\n' };
    expect(await getByHttp1({ port, path: '/broken' })).toEqual(broken);
    expect(await getByHttp2(`http://127.0.0.1:${port}`, undefined, '/broken')).toEqual(broken);
  });

  it('are refused to who asks for very many at once, and answered again when those are', async () => {
    const waiting: (() => void)[] = [];
    const port = await serve(
      () => new Promise((resolve) => waiting.push(() => resolve({ status: 203, body: 'at last' }))),
    );
    const refused: Answer[] = [];
    const held: Promise<Answer>[] = [];
    await new Promise<void>((resolve) => {
      for (let index = 0; index < 100; index++) {
        const answer = getByHttp2(`http://127.0.0.1:${port}`);
        held.push(answer);
        void answer.then((each) => refused.push(each) === 36 && resolve());
      }
    });
    expect(new Set(refused.map(({ status }) => status))).toEqual(new Set([503]));
    waiting.splice(0).forEach((each) => each());
    const statuses = (await Promise.all(held)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 203)).toHaveLength(64);
    const next = getByHttp1({ port });
    while (waiting.length === 0) await new Promise(setImmediate);
    waiting.splice(0).forEach((each) => each());
    expect(await next).toEqual({ status: 203, body: 'at last' });
  });

  it('end with the server, and so does a connection that has said nothing', async () => {
    const grpc = new GrpcServer({ log: silentLog, fault: () => undefined, pages: () => new Promise(() => undefined) });
    const { port } = await grpc.listen('127.0.0.1:0');
    const unanswered = await connect(port);
    unanswered.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const silent = await connect(port);
    const closed = Promise.all([told(unanswered), told(silent)]);
    // Once a later connection is served, those have been accepted too.
    await health(port);
    await grpc.stop({ drainMs: 0 });
    expect(await closed).toEqual(['', '']);
  });

  it('are refused where there are none', async () => {
    const port = await serve(undefined);
    expect(await getByHttp2(`http://127.0.0.1:${port}`)).toEqual({ status: 415, body: '' });
    await expect(getByHttp1({ port })).rejects.toThrow();
    expect(await health(port)).toEqual({ status: 'SERVING' });
  });
});

describe('pages behind TLS', () => {
  let folder: string;
  let authority: TestAuthority;
  let server: IssuedFiles;
  let client: IssuedFiles;
  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'synod-pages-'));
    authority = await TestAuthority.create('authority');
    server = await authority.issue(folder, 'server');
    client = await authority.issue(folder, 'client');
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function material({ cert, key }: IssuedFiles, checks: boolean): TlsMaterial {
    const identity = { cert: { path: cert, name: '--cert-file' }, key: { path: key, name: '--key-file' } };
    const ca = { path: authority.write(folder, 'ca'), name: '--trusted-ca-file' };
    const made = new TlsMaterial({ identity, ...(checks && { ca }) }, silentLog);
    open.push(made);
    return made;
  }

  it('are answered in the version that the client offers, and gRPC calls beside them', async () => {
    const port = await serve(echo, material(server, false));
    const answer = { status: 203, body: 'GET /health' };
    expect(await getByHttp1({ port, ca: authority.pem }, requestSecurely)).toEqual(answer);
    expect(await getByHttp1({ port, ca: authority.pem, ALPNProtocols: ['http/1.1'] }, requestSecurely)).toEqual(answer);
    expect(await getByHttp2(`https://127.0.0.1:${port}`, authority.pem)).toEqual(answer);
    expect(await health(port, material(client, true))).toEqual({ status: 'SERVING' });
  });

  it('are for those only who have a certificate, where one is asked for', async () => {
    const port = await serve(echo, material(server, true));
    await expect(getByHttp1({ port, ca: authority.pem }, requestSecurely)).rejects.toThrow();
    const own = { cert: readFileSync(client.cert), key: readFileSync(client.key) };
    expect((await getByHttp1({ port, ca: authority.pem, ...own }, requestSecurely)).status).toBe(203);
  });
});
