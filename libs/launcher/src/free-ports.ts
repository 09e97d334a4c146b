import { createServer, type Server } from 'node:net';

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

/** The first of `ports` that something else on 127.0.0.1 holds, if any. */
export async function firstTakenPort(ports: readonly number[]): Promise<number | undefined> {
  for (const port of ports) {
    try {
      await close(await listen(port));
    } catch {
      return port;
    }
  }
  return undefined;
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
