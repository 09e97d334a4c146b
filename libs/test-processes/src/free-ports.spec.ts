import { createServer } from 'node:net';
import { freePortBase, freePorts } from '@synod/test-processes';

describe('ports', () => {
  it('are given out once each, and can be listened on with HTTP a thousand above', async () => {
    const ports = [...(await freePorts(3)), ...(await freePorts(2)), await freePortBase(), await freePortBase()];
    expect(new Set(ports).size).toBe(7);
    for (const port of ports.flatMap((each) => [each, each + 1_000])) {
      expect(port).toBeLessThan(32_768);
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
      await new Promise((resolve) => server.close(resolve));
    }
  });
});
