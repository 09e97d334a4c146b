import type { ManualTime } from '@synod/coordination';
import type { Codec, Connection, ConnectionHandler, Protocol, Transport } from '@synod/runtime';

/** What becomes of a message on its way. */
export type MessageFate =
  | 'delivered'
  /** Nobody notices, as behind a cut that no timeout has found yet. */
  | 'lost'
  /** The connection breaks before the message arrives. */
  | 'broken';

export interface MessageOnItsWay {
  /** `/synod.storage.v1.Storage/Exchange` */
  readonly protocol: string;
  /** `up` from who connected to who serves. */
  readonly direction: 'up' | 'down';
  /** Address of the node that serves. */
  readonly server: string;
  readonly message: unknown;
}

type Accept = (connection: Connection<unknown>) => ConnectionHandler<unknown>;

interface Served {
  readonly protocol: Protocol<unknown, unknown>;
  readonly accept: Accept;
}

const LATENCY_US = 200;

/**
 * A network within one process for specs that choose the fate of single messages (the simulated world of @synod/simulation draws it
 * from a seed). Messages travel as the bytes their codec makes of them, so that nothing is shared between the ends.
 */
export class MemoryNetwork {
  /** Decides what becomes of each message; everything is delivered by default. */
  fate: (message: MessageOnItsWay) => MessageFate = () => 'delivered';

  private readonly served = new Map<string, Served>();
  private readonly links = new Set<Link>();
  private readonly dead = new Set<string>();

  constructor(private readonly time: ManualTime) {}

  /** The network as the node at `address` sees it. */
  transport(address: string): Transport {
    return {
      connect: (protocol, to, handler) => this.connect(protocol, address, to, handler),
      serve: (protocol, accept) => {
        this.served.set(`${address} ${protocol.name}`, {
          protocol: protocol,
          accept: accept,
        });
      },
    };
  }

  /** Nothing answers at `address` any more, and all its connections break. */
  kill(address: string): void {
    this.dead.add(address);
    for (const link of [...this.links])
      if (link.client === address || link.server === address) link.break(`${address} died`);
  }

  /** What served there serves again, with whatever state the spec left it. */
  revive(address: string): void {
    this.dead.delete(address);
  }

  private connect<Up, Down>(
    protocol: Protocol<Up, Down>,
    client: string,
    server: string,
    handler: ConnectionHandler<Down>,
  ): Connection<Up> {
    const link = new Link(client, server, this.time, () => this.links.delete(link));
    this.links.add(link);
    const up = link.end(protocol.up, (message) =>
      this.fate({ protocol: protocol.name, direction: 'up', server, message }),
    );
    link.handlers.down = handler;
    this.time.after(LATENCY_US, () => {
      const served = this.served.get(`${server} ${protocol.name}`);
      if (served === undefined || this.dead.has(server)) {
        link.break(`nothing answers at ${server}`);
        return;
      }
      const down = link.end(served.protocol.down, (message) =>
        this.fate({ protocol: protocol.name, direction: 'down', server, message }),
      );
      link.handlers.up = served.accept(down.connection('down'));
      up.flush();
    });
    return up.connection('up');
  }
}

/** One connection: two ends, each with what has not arrived at the other yet. */
class Link {
  readonly handlers: { up?: ConnectionHandler<unknown>; down?: ConnectionHandler<unknown> } = {};
  open = true;

  constructor(
    readonly client: string,
    readonly server: string,
    readonly time: ManualTime,
    private readonly gone: () => void,
  ) {}

  break(reason: string): void {
    if (!this.open) return;
    this.open = false;
    this.gone();
    this.time.after(LATENCY_US, () => {
      this.handlers.up?.closed(reason);
      this.handlers.down?.closed(reason);
    });
  }

  /** Closed by the end that sends `direction`: only the other one hears of it. */
  close(direction: 'up' | 'down'): void {
    if (!this.open) return;
    this.open = false;
    this.gone();
    const other = direction === 'up' ? this.handlers.up : this.handlers.down;
    this.time.after(LATENCY_US, () => other?.closed('the other end closed'));
  }

  end(codec: Codec<unknown>, fate: (message: unknown) => MessageFate): LinkEnd {
    return new LinkEnd(this, codec, fate);
  }
}

class LinkEnd {
  /** Sent before the other end was reached. */
  private early: Uint8Array[] | undefined;
  private direction: 'up' | 'down' = 'down';

  constructor(
    private readonly link: Link,
    private readonly codec: Codec<unknown>,
    private readonly fate: (message: unknown) => MessageFate,
  ) {}

  connection(direction: 'up' | 'down'): Connection<unknown> {
    this.direction = direction;
    if (direction === 'up') this.early = [];
    return { send: (message) => this.send(message), close: () => this.link.close(direction) };
  }

  flush(): void {
    const early = this.early ?? [];
    this.early = undefined;
    for (const bytes of early) this.travel(bytes);
  }

  private send(message: unknown): boolean {
    if (!this.link.open) return false;
    const bytes = this.codec.encode([message]);
    switch (this.fate(message)) {
      case 'lost':
        return true;
      case 'broken':
        this.link.break('the connection broke');
        return true;
      case 'delivered':
        if (this.early === undefined) this.travel(bytes);
        else this.early.push(bytes);
        return true;
    }
  }

  private travel(bytes: Uint8Array): void {
    this.link.time.after(LATENCY_US, () => {
      if (!this.link.open) return;
      const handler = this.direction === 'up' ? this.link.handlers.up : this.link.handlers.down;
      for (const message of this.codec.decode(bytes)) handler?.receive(message);
    });
  }
}
