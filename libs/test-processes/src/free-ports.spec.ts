import { createServer, type Server } from 'node:net';
import { freePortBase, freePorts } from '@synod/test-processes';

async function listening(port: number): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return server;
}

const closed = (server: Server): Promise<unknown> => new Promise((resolve) => server.close(resolve));

describe('ports', () => {
  it('of a base are looked at, every one: where one is taken there is another base, of another block in the end', async () => {
    const asked: number[] = [];
    const portsFrom = (base: number): number[] => {
      asked.push(base);
      return [base, base + 1_000, base + 523];
    };
    const base = await freePortBase(portsFrom);
    const holder = await listening(base + 30 + 523);
    const second = await freePortBase(portsFrom);
    await closed(holder);
    expect(asked).toContain(base + 30);
    expect(second).not.toBe(base + 30);
    const third = await freePortBase(portsFrom);
    expect(third < base || third >= base + 2_000).toBe(true);
    await expect(freePortBase((from) => [from + 560])).rejects.toThrow('further from their base');
  });

  it('are given out once each, and can be listened on with HTTP a thousand above', async () => {
    const alone = (base: number): number[] => [base, base + 1_000];
    const bases = [await freePortBase(alone), await freePortBase(alone)];
    const ports = [...(await freePorts(3)), ...(await freePorts(2)), ...bases];
    expect(new Set(ports).size).toBe(7);
    for (const port of ports.flatMap((each) => [each, each + 1_000])) {
      expect(port).toBeLessThan(32_768);
      await closed(await listening(port));
    }
  });
});

it('are given out by what a tool can load as well, where there is no end of tests', () => {
  const { afterAll } = globalThis;
  Reflect.deleteProperty(globalThis, 'afterAll');
  try {
    jest.isolateModules(() => expect(jest.requireActual('@synod/test-processes')).toHaveProperty('finished'));
  } finally {
    globalThis.afterAll = afterAll;
  }
});
