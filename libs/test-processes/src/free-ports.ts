import { createServer, type Server } from 'node:net';
import { eventually } from '@synod/eventually';

/** Below the ports that the system gives to clients. */
const PORTS = { first: 10_000, end: 32_000 };
/** What one file of tests has for itself. */
const BLOCK = 2_000;
/** Services have HTTP that far above their clients' port unless they are told otherwise: those ports are given to nobody. */
const HTTP_OFFSET = 1_000;
/** Where in a block those of `synod up` begin; each takes a few, at up to 524 above. */
const BASES = { at: 0, step: 30, count: 3 };
/** Where those lie that are given out one by one. */
const SINGLE = { at: 600, end: 600 + 380 };

/**
 * Ports that this file of tests has for itself: it holds a guard in the block for as long as it runs, so that no other file, of this run or of
 * another one on the machine, takes a port between its being found free and its being bound, or while a member that had it is down.
 */
class Block {
  private bases = 0;
  private singles = SINGLE.at;

  private constructor(
    private readonly first: number,
    private readonly guard: Server,
  ) {}

  static async take(): Promise<Block> {
    return eventually('ports for this file of tests', async () => {
      const count = (PORTS.end - PORTS.first) / BLOCK;
      const from = Math.floor(Math.random() * count);
      for (let tried = 0; tried < count; tried++) {
        const first = PORTS.first + BLOCK * ((from + tried) % count);
        const guard = await listening(first + BLOCK - 1);
        if (guard !== undefined) return new Block(first, guard);
      }
      return undefined;
    });
  }

  release(): Promise<void> {
    return closed(this.guard);
  }

  base(): number {
    if (this.bases === BASES.count) throw new RangeError('more bases of ports than a file of tests has');
    return this.first + BASES.at + BASES.step * this.bases++;
  }

  async singlePort(): Promise<number> {
    for (;;) {
      if (this.singles === SINGLE.end) throw new RangeError('more ports than a file of tests has');
      const port = this.first + this.singles++;
      // Somebody else may have it who knows nothing of blocks.
      if ((await isFree(port)) && (await isFree(port + HTTP_OFFSET))) return port;
    }
  }
}

let block: Promise<Block> | undefined;
const own = (): Promise<Block> => (block ??= Block.take());

// Whatever still runs has its ports: what is released is what nobody listens on.
afterAll(async () => (await block)?.release());

/** Ports that nobody listens on now and no other file of tests will; none is given out twice. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await (await own()).singlePort());
  return ports;
}

/** A `--port-base` of which the same is true. */
export async function freePortBase(): Promise<number> {
  return (await own()).base();
}

async function isFree(port: number): Promise<boolean> {
  const server = await listening(port);
  if (server !== undefined) await closed(server);
  return server !== undefined;
}

/** @returns undefined if the port is taken */
function listening(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => resolve(server));
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
