import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectPlain } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect as connectTls } from 'node:tls';
import { serviceDefinition } from '@synod/contracts';
import { silentLog, type LogFields } from '@synod/runtime';
import { TestAuthority, type IssuedFiles } from '@synod/test-authority';
import { GrpcChannels } from './channels';
import { GrpcServer } from './grpc-server';
import { TlsMaterial, type TlsFiles } from './tls-files';

const { Check, List } = serviceDefinition('grpc.health.v1.Health');

let folder: string;
let authority: TestAuthority;
let stranger: TestAuthority;
let ca: string;
let server: IssuedFiles;
let client: IssuedFiles;
const open: { close(): unknown }[] = [];

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'synod-tls-'));
  authority = await TestAuthority.create('authority');
  stranger = await TestAuthority.create('stranger');
  ca = authority.write(folder, 'ca');
  server = await authority.issue(folder, 'server');
  client = await authority.issue(folder, 'client');
});
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});
afterAll(() => rmSync(folder, { recursive: true }));

function filesOf(issued: IssuedFiles | undefined, caFile: string | undefined): TlsFiles {
  return {
    ...(issued === undefined
      ? {}
      : {
          identity: {
            cert: { path: issued.cert, name: '--cert-file' },
            key: { path: issued.key, name: '--key-file' },
          },
        }),
    ...(caFile === undefined ? {} : { ca: { path: caFile, name: '--trusted-ca-file' } }),
  };
}

function material(issued: IssuedFiles | undefined, caFile: string | undefined, log = silentLog): TlsMaterial {
  const made = new TlsMaterial(filesOf(issued, caFile), log);
  open.push(made);
  return made;
}

async function serve(tls: TlsMaterial | undefined): Promise<string> {
  const grpc = new GrpcServer({ log: silentLog, fault: () => undefined });
  const { port } = await grpc.listen('127.0.0.1:0', tls);
  open.push({ close: () => grpc.stop({ drainMs: 0 }) });
  return `127.0.0.1:${port}`;
}

function call(address: string, tls: TlsMaterial | undefined): Promise<unknown> {
  const channels = new GrpcChannels({}, tls && { material: tls });
  open.push(channels);
  return channels.callUnary(address, Check, {}, { deadlineMs: 3_000, idempotent: true });
}

/** The serial number of the certificate that a server shows. */
function shownBy(address: string): Promise<string> {
  const { hostname, port } = new URL(`tcp://${address}`);
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: hostname, port: Number(port), ca: authority.pem, ALPNProtocols: ['h2'] }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

describe('a server with an authority', () => {
  it('serves who has a certificate of it, and nobody else', async () => {
    const address = await serve(material(server, ca));
    expect(await call(address, material(client, ca))).toEqual({ status: 'SERVING' });
    await expect(call(address, material(undefined, ca))).rejects.toMatchObject({ kind: 'unavailable' });
    const foreign = await stranger.issue(folder, 'foreign');
    await expect(call(address, material(foreign, ca))).rejects.toMatchObject({ kind: 'unavailable' });
    await expect(call(address, undefined)).rejects.toMatchObject({ kind: 'unavailable' });
  });

  it('may have several in one file, as while one takes the place of the other', async () => {
    const both = path.join(folder, 'both.pem');
    writeFileSync(both, stranger.pem + authority.pem);
    const address = await serve(material(server, both));
    const foreign = await stranger.issue(folder, 'foreign-client');
    for (const each of [client, foreign]) {
      expect(await call(address, material(each, ca))).toEqual({ status: 'SERVING' });
    }
  });

  it('that has stopped cuts who was in the midst of a handshake', async () => {
    // Not by asking for a sign of life that this client never gives.
    const limits = { keepaliveTimeMs: 600_000 };
    const grpc = new GrpcServer({ log: silentLog, fault: () => undefined, limits });
    const { port } = await grpc.listen('127.0.0.1:0', material(server, ca));
    const plain = connectPlain(port, '127.0.0.1');
    await new Promise((resolve) => plain.once('connect', resolve));
    // Once a later connection is served, this one has been accepted too.
    await call(`127.0.0.1:${port}`, material(client, ca));
    await grpc.stop({ drainMs: 0 });
    const files = { ca: authority.pem, cert: readFileSync(client.cert), key: readFileSync(client.key) };
    const late = connectTls({ socket: plain, ...files, host: '127.0.0.1', ALPNProtocols: ['h2'] });
    const seen: string[] = [];
    late.on('secureConnect', () => seen.push('through'));
    late.on('error', () => undefined);
    late.resume();
    await new Promise((resolve) => late.once('close', resolve));
    expect(seen).toEqual(['through']);
  });

  it('is not troubled by what is no TLS', async () => {
    const address = await serve(material(server, ca));
    const { hostname, port } = new URL(`tcp://${address}`);
    await new Promise<void>((resolve) => {
      const socket = connectPlain(Number(port), hostname, () => socket.end('GET / HTTP/1.1\r\n\r\n'.repeat(50)));
      socket.on('error', () => undefined);
      socket.on('close', () => resolve());
    });
    expect(await call(address, material(client, ca))).toEqual({ status: 'SERVING' });
  });
});

it('without an authority asks for no certificate', async () => {
  const address = await serve(material(server, undefined));
  expect(await call(address, material(undefined, ca))).toEqual({ status: 'SERVING' });
});

describe('a client', () => {
  it('does not talk to a server of another authority, or under another name', async () => {
    const foreign = await stranger.issue(folder, 'foreign-server');
    await expect(call(await serve(material(foreign, undefined)), material(undefined, ca))).rejects.toMatchObject({
      kind: 'unavailable',
    });
    const elsewhere = await authority.issue(folder, 'elsewhere', { hosts: ['elsewhere.example'] });
    await expect(call(await serve(material(elsewhere, undefined)), material(undefined, ca))).rejects.toMatchObject({
      kind: 'unavailable',
    });
  });

  it('does not talk to a server without TLS', async () => {
    await expect(call(await serve(undefined), material(undefined, ca))).rejects.toMatchObject({ kind: 'unavailable' });
  });
});

it('goes with the calls that it is for, and with no others', async () => {
  const channels = new GrpcChannels({}, { material: material(client, ca), covers: (path) => path === Check.path });
  open.push(channels);
  const [secure, plain] = [await serve(material(server, ca)), await serve(undefined)];
  const options = { deadlineMs: 3_000, idempotent: true };
  expect(await channels.callUnary(secure, Check, {}, options)).toEqual({ status: 'SERVING' });
  expect(await channels.callUnary(plain, List, {}, options)).toMatchObject({ statuses: expect.anything() as object });
  await expect(channels.callUnary(plain, Check, {}, options)).rejects.toMatchObject({ kind: 'unavailable' });
  await expect(channels.callUnary(secure, List, {}, options)).rejects.toMatchObject({ kind: 'unavailable' });
});

describe('renewed files', () => {
  it('are used by connections made from then on, at both ends; open connections go on', async () => {
    const renewed = await authority.issue(folder, 'renewed');
    const movingCa = authority.write(folder, 'moving-ca');
    const [serving, calling] = [material(renewed, movingCa), material(renewed, movingCa)];
    const address = await serve(serving);
    const channels = new GrpcChannels({}, { material: calling });
    open.push(channels);
    const check = (): Promise<unknown> =>
      channels.callUnary(address, Check, {}, { deadlineMs: 3_000, idempotent: true });
    await check();
    // Both ends move to another authority; the connection that is open does not ask again.
    await stranger.issue(folder, 'renewed');
    stranger.write(folder, 'moving-ca');
    for (const each of [serving, calling]) each.look();
    expect(await check()).toEqual({ status: 'SERVING' });
    await expect(call(address, material(client, ca))).rejects.toMatchObject({ kind: 'unavailable' });
    expect(await call(address, calling)).toEqual({ status: 'SERVING' });
  });

  it('are found by themselves', async () => {
    const found = await authority.issue(folder, 'found');
    const address = await serve(material(found, undefined));
    const before = await shownBy(address);
    await authority.issue(folder, 'found');
    while ((await shownBy(address)) === before) await new Promise((resolve) => setTimeout(resolve, 100));
  });

  it('that cannot be used change nothing, and are said once', async () => {
    const broken = await authority.issue(folder, 'broken');
    const lines: [string, LogFields | undefined][] = [];
    const log = { ...silentLog, warn: (message: string, fields?: LogFields) => void lines.push([message, fields]) };
    const tls = material(broken, undefined, log);
    const address = await serve(tls);
    const before = await shownBy(address);
    writeFileSync(broken.cert, 'half a certific');
    tls.look();
    tls.look();
    expect(await shownBy(address)).toBe(before);
    expect(lines).toEqual([
      [
        'changed certificates cannot be used; those from before stay in use',
        { reason: `--cert-file ${broken.cert} holds no certificate in PEM form` },
      ],
    ]);
  });
});

describe('files that cannot be used', () => {
  const refusal = (issued: IssuedFiles, caFile?: string): string => {
    try {
      material(issued, caFile);
    } catch (error) {
      return (error as Error).message.replaceAll(folder, 'F');
    }
    return 'taken';
  };

  it('are refused in one line that names the setting', async () => {
    const file = (name: string, text: string): string => {
      writeFileSync(path.join(folder, name), text);
      return path.join(folder, name);
    };
    const absent = path.join(folder, 'absent');
    expect(refusal({ ...server, cert: absent })).toBe('--cert-file F/absent cannot be read: there is no such file');
    expect(refusal({ ...server, key: folder })).toBe('--key-file F cannot be read: EISDIR');
    expect(refusal({ ...server, cert: server.key })).toBe('--cert-file F/server.key holds no certificate in PEM form');
    expect(refusal({ ...server, key: server.cert })).toBe(
      '--key-file F/server.pem holds no private key in PEM form, or one under a passphrase',
    );
    expect(refusal({ ...server, key: client.key })).toBe(
      '--key-file F/client.key is not the key of --cert-file F/server.pem',
    );
    expect(refusal(server, file('empty', ''))).toBe('--trusted-ca-file F/empty holds no certificate in PEM form');
    if (process.getuid?.() === 0) return; // Root may read everything.
    chmodSync(file('secret', 'x'), 0);
    expect(refusal({ ...server, key: path.join(folder, 'secret') })).toBe(
      '--key-file F/secret cannot be read: this user may not read it',
    );
  });
});
