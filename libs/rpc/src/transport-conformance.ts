import type { Codec, Connection, ConnectionHandler, Protocol, Transport } from '@synod/runtime';

/** What one scenario works on: a transport that dials, one that serves, and the address where it does. */
export interface TransportBench {
  readonly dialler: Transport;
  readonly server: Transport;
  /** Starts to accept; call it after `serve`. */
  listen(): Promise<string>;
  /** Messages that the bounded queue holds at most. */
  readonly queueMessagesMax: number;
}

export type RunOnTransport = (scenario: (bench: TransportBench) => Promise<void>) => Promise<void>;

/** JSON lines, and a count of the batches that each direction was encoded in. */
export class CountingCodec implements Codec<unknown> {
  readonly batches: number[] = [];

  encode(batch: readonly unknown[]): Uint8Array {
    this.batches.push(batch.length);
    return Buffer.from(batch.map((message) => JSON.stringify(message)).join('\n'));
  }

  decode(bytes: Uint8Array): unknown[] {
    return Buffer.from(bytes)
      .toString()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
  }
}

export type TestProtocol = Protocol<unknown, unknown> & { readonly up: CountingCodec; readonly down: CountingCodec };

export function testProtocol(name = '/synod.test.v1.Test/Exchange'): TestProtocol {
  return { name, up: new CountingCodec(), down: new CountingCodec() };
}

/** Remembers what arrived at one end, and lets a test wait for it. */
export class Recorder implements ConnectionHandler<unknown> {
  readonly received: unknown[] = [];
  closedBecause: string | undefined;
  refused: boolean | undefined;
  /** What happened, in order: a message, or the end. */
  readonly log: string[] = [];
  private waiting: { readonly holds: () => boolean; readonly resolve: () => void }[] = [];

  receive(message: unknown): void {
    this.received.push(message);
    this.happened('message');
  }

  closed(reason: string, refused?: boolean): void {
    this.closedBecause = reason;
    this.refused = refused;
    this.happened('closed');
  }

  async count(messages: number): Promise<unknown[]> {
    await this.until(() => this.received.length >= messages);
    return this.received;
  }

  async end(): Promise<string> {
    await this.until(() => this.closedBecause !== undefined);
    return this.closedBecause ?? '';
  }

  private async until(holds: () => boolean): Promise<void> {
    if (!holds()) await new Promise<void>((resolve) => this.waiting.push({ holds, resolve }));
  }

  private happened(what: string): void {
    this.log.push(what);
    const ready = this.waiting.filter(({ holds }) => holds());
    this.waiting = this.waiting.filter((waiter) => !ready.includes(waiter));
    for (const { resolve } of ready) resolve();
  }
}

/** The contract of the `Transport` port as a jest suite; each adapter's spec calls it. */
export function describeTransport(name: string, run: RunOnTransport): void {
  const on = (fact: string, scenario: (bench: TransportBench) => Promise<void>): void => it(fact, () => run(scenario));
  describe(`${name} as a Transport`, () => {
    on('carries messages both ways, in order', async (bench) => {
      const [here, there] = [new Recorder(), new Recorder()];
      const { up, down } = await connected(bench, here, there);
      const numbers = Array.from({ length: 1_000 }, (_, i) => i);
      for (const i of numbers) expect(up.send(i)).toBe(true);
      for (const i of numbers) expect(down.send(i + 5_000)).toBe(true);
      expect(await there.count(1_001)).toEqual(['hello', ...numbers]);
      expect(await here.count(1_000)).toEqual(numbers.map((i) => i + 5_000));
    });

    on('sends what one turn said as one batch', async (bench) => {
      const [here, there, protocol] = [new Recorder(), new Recorder(), testProtocol()];
      const { up } = await connected(bench, here, there, protocol);
      for (let i = 0; i < 100; i++) up.send(i);
      await there.count(101);
      for (let i = 0; i < 50; i++) up.send(i);
      await there.count(151);
      expect(protocol.up.batches).toEqual([1, 100, 50]);
    });

    on('holds messages until the other end is reached', async (bench) => {
      const there = new Recorder();
      const protocol = testProtocol();
      bench.server.serve(protocol, () => there);
      const up = bench.dialler.connect(protocol, await bench.listen(), new Recorder());
      up.send('first');
      up.send('second');
      expect(await there.count(2)).toEqual(['first', 'second']);
    });

    on('lets the other end know of a close, after all that was sent, and not this end', async (bench) => {
      const [here, there] = [new Recorder(), new Recorder()];
      const { up } = await connected(bench, here, there);
      up.send('last');
      up.close();
      up.close();
      expect(up.send('late')).toBe(false);
      await there.end();
      expect(there.received).toEqual(['hello', 'last']);
      expect(there.log).toEqual(['message', 'message', 'closed']);
      expect(here.log).toEqual([]);
    });

    on('closes from the serving end too', async (bench) => {
      const [here, there] = [new Recorder(), new Recorder()];
      const { up, down } = await connected(bench, here, there);
      down.send('last');
      down.close();
      await here.end();
      expect(here.received).toEqual(['last']);
      expect(up.send('late')).toBe(false);
      expect(down.send('late')).toBe(false);
      expect(there.log).toEqual(['message']);
    });

    on('refuses messages when the bounded queue is full, and delivers all that it took', async (bench) => {
      const [here, there] = [new Recorder(), new Recorder()];
      const { up } = await connected(bench, here, there);
      let taken = 0;
      while (up.send(taken)) taken++;
      expect(taken).toBe(bench.queueMessagesMax);
      await there.count(taken + 1);
      expect(there.received.at(-1)).toBe(taken - 1);
      expect(up.send('room again')).toBe(true);
    });

    on('tells when there is nobody at the address, and never inside connect', async (bench) => {
      const here = new Recorder();
      const up = bench.dialler.connect(testProtocol(), 'nobody:1', here);
      expect(here.log).toEqual([]);
      await here.end();
      expect(up.send('late')).toBe(false);
    });

    on('tells when the protocol is not served there', async (bench) => {
      bench.server.serve(testProtocol(), () => new Recorder());
      const here = new Recorder();
      bench.dialler.connect(testProtocol('/synod.test.v1.Other/Exchange'), await bench.listen(), here);
      await here.end();
    });

    on('keeps conversations apart', async (bench) => {
      const protocol = testProtocol();
      const ends: { connection: Connection<unknown>; recorder: Recorder }[] = [];
      bench.server.serve(protocol, (connection) => {
        const recorder = new Recorder();
        ends.push({ connection, recorder });
        return recorder;
      });
      const address = await bench.listen();
      const recorders = [new Recorder(), new Recorder()];
      const [a, b] = recorders.map((recorder) => bench.dialler.connect(protocol, address, recorder));
      a?.send('a');
      b?.send('b');
      while (ends.length < 2 || ends.some(({ recorder }) => recorder.received.length === 0)) await turn();
      const first = ends.find(({ recorder }) => recorder.received[0] === 'a');
      a?.close();
      await first?.recorder.end();
      for (const { connection } of ends) connection.send('still here');
      expect(await recorders[1]?.count(1)).toEqual(['still here']);
      expect(recorders[0]?.log).toEqual([]);
    });
  });
}

/** A conversation whose first message, `hello`, has arrived. */
async function connected(
  bench: TransportBench,
  here: Recorder,
  there: Recorder,
  protocol = testProtocol(),
): Promise<{ up: Connection<unknown>; down: Connection<unknown> }> {
  let down: Connection<unknown> | undefined;
  bench.server.serve(protocol, (connection) => {
    down = connection;
    return there;
  });
  const up = bench.dialler.connect(protocol, await bench.listen(), here);
  up.send('hello');
  await there.count(1);
  if (down === undefined) throw new Error('a message came over a connection that was not accepted');
  return { up, down };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
