import { createServer, type Server } from 'node:net';
import { eventually } from '@synod/eventually';

/** Below the ports that the system gives to clients. */
const PORTS = { first: 10_000, end: 32_000 };
/** What one file of tests has for itself. */
const BLOCK = 2_000;
/** Services have HTTP that far above their clients' port unless they are told otherwise: those ports are given to nobody. */
const HTTP_OFFSET = 1_000;
/** Where in a block those of `synod up` begin; each takes a few, from itself up to below `REACH` above. */
const BASES = { at: 0, step: 30, count: 3 };
const REACH = 540;
/** Where those lie that are given out one by one. */
const SINGLE = { at: 600, end: 600 + 380 };

/**
 * Ports that this file of tests has for itself: it holds a guard in the block for as long as it runs, so that no other file, of this run or of
 * another one on the machine, takes a port between its being found free and its being bound, or while a member that had it is down. Who knows
 * nothing of blocks may listen in it all the same: each port is looked at before it is given out.
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
        if (guard !== undefined) return new Block(first, guard.unref());
      }
      return undefined;
    });
  }

  release(): Promise<void> {
    return closed(this.guard);
  }

  /** @returns undefined if there is none left */
  async base(portsFrom: PortsFrom): Promise<number | undefined> {
    while (this.bases < BASES.count) {
      const base = this.first + BASES.at + BASES.step * this.bases++;
      const ports = portsFrom(base);
      const within = ports.every((port) => port >= base && (port - base) % HTTP_OFFSET < REACH);
      if (!within) throw new RangeError(`ports further from their base ${base} than it has room: ${ports.join()}`);
      if (await areFree(ports)) return base;
    }
    return undefined;
  }

  /** @returns undefined if there is none left */
  async singlePort(): Promise<number | undefined> {
    while (this.singles < SINGLE.end) {
      const port = this.first + this.singles++;
      if (await areFree([port, port + HTTP_OFFSET])) return port;
    }
    return undefined;
  }
}

/** What is listened on from a base on. */
export type PortsFrom = (base: number) => readonly number[];

/** What has been taken; the last is the one that is given out from. */
const blocks: Promise<Block>[] = [];

// Jest has to be told before the first test begins. A tool, which has no such end, holds its blocks until its own.
if ('afterAll' in globalThis) {
  // Whatever still runs has its ports: what is released is what nobody listens on.
  afterAll(async () => {
    for (const block of blocks) await (await block).release();
  });
}

/** Takes another block where the one before has nothing left. */
async function fromBlock(take: (block: Block) => Promise<number | undefined>): Promise<number> {
  for (;;) {
    const last = blocks.at(-1);
    const taken = last && (await take(await last));
    if (taken !== undefined) return taken;
    // Unless somebody who waited as well has done so.
    if (blocks.at(-1) === last) blocks.push(Block.take());
  }
}

/** Ports that nobody listens on now and no other file of tests will; none is given out twice. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await fromBlock((block) => block.singlePort()));
  return ports;
}

/** A `--port-base`: nobody listens now on any of the ports that are listened on from it on, and no other file of tests will. */
export async function freePortBase(portsFrom: PortsFrom): Promise<number> {
  return fromBlock((block) => block.base(portsFrom));
}

async function areFree(ports: readonly number[]): Promise<boolean> {
  for (const port of ports) if (!(await isFree(port))) return false;
  return true;
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
