import { createServer, type Server } from 'node:net';
import { SynodError } from '@synod/runtime';
import type { ProcessPlan } from './cluster-plan';

/** `count` different ports of 127.0.0.1 that nobody holds now. Another process may still take one before it is used. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, () => listen(0)));
  const ports = servers.map((server) => {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new TypeError('a TCP server has a port');
    return address.port;
  });
  await Promise.all(servers.map(close));
  return ports;
}

/** @throws {SynodError} `failed-precondition`, naming the port and whose it is to be, if something else on 127.0.0.1 holds one */
export async function refuseTakenPorts(processes: readonly ProcessPlan[]): Promise<void> {
  for (const { id, ports } of processes) {
    for (const port of [ports.client, ports.http, ...(ports.peer === undefined ? [] : [ports.peer])]) {
      if (!(await isTaken(port))) continue;
      throw new SynodError(
        'failed-precondition',
        `port ${port} (of ${id}) is in use by another program; stop it, or use another --port-base with a new --data folder`,
      );
    }
  }
}

async function isTaken(port: number): Promise<boolean> {
  try {
    await close(await listen(port));
    return false;
  } catch {
    return true;
  }
}

function listen(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => resolve(server));
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
