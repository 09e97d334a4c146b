import { InvariantViolation, invariant } from '@synod/invariant';
import type { Codec, Connection, ConnectionHandler, Protocol } from '@synod/runtime';
import type { Link } from './link';
import { seal } from './seal';
import type { Incarnation } from './sim-node';
import type { World } from './world';

/** What one turn sent on one end, on its way: as frozen objects with the checksums of their bytes, or encoded. */
type Packet =
  | { readonly kind: 'objects'; readonly messages: readonly unknown[]; readonly sums: readonly number[] }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array; readonly count: number }
  /** The sender closed its end. */
  | { readonly kind: 'end' };

/** Messages travel under no type here: the two ends of a protocol agree on them. */
type AnyCodec = Codec<unknown>;

export type AnyProtocol = Protocol<unknown, unknown>;

/** One conversation between two processes, made of two ends. */
export class SimConnection {
  readonly dialler: End;
  /** Absent until the other side accepted. */
  server: End | undefined;
  /** What was still on its way when a connection broke never arrives. */
  broken = false;

  constructor(
    readonly world: World,
    readonly id: number,
    readonly protocol: AnyProtocol,
    inc: Incarnation,
    /** From dialler to server, and back. */
    readonly up: Link,
    readonly down: Link,
    handler: ConnectionHandler<unknown>,
    private readonly forget: (connection: SimConnection) => void,
  ) {
    this.dialler = new End(this, inc, up, protocol.up, 'dialling');
    this.dialler.handler = handler;
  }

  get datagrams(): boolean {
    return this.world.shape.network.datagramProtocols.includes(this.protocol.name);
  }

  /** The server's side of the dial: makes its end and asks the protocol's owner for a handler. */
  accept(inc: Incarnation, accept: (connection: Connection<unknown>) => ConnectionHandler<unknown>): void {
    const server = new End(this, inc, this.down, this.protocol.down, 'open');
    this.server = server;
    server.peer = this.dialler;
    this.dialler.peer = server;
    server.handler = accept(server);
  }

  /** Breaks both ways at once; the two ends learn of it at different times, or not, if they are already closed. */
  breakOff(reason: string, dialler: { readonly afterUs: number }, server: { readonly afterUs: number }): void {
    this.broken = true;
    this.forget(this);
    this.dialler.endsAfter(dialler.afterUs, reason);
    this.server?.endsAfter(server.afterUs, reason);
  }

  /** Both ends are closed: nothing refers to it any more. */
  settle(): void {
    if (this.dialler.state === 'closed' && (this.server === undefined || this.server.state === 'closed'))
      this.forget(this);
  }
}

/**
 * One end of a conversation. Packets keep their order in stream mode: each has an arrival event of its own with its own drawn delay,
 * and the k-th arrival delivers the k-th packet. In datagram mode each message is lost, repeated or delayed by itself.
 */
export class End implements Connection<unknown> {
  handler: ConnectionHandler<unknown> | undefined;
  peer: End | undefined;
  private outbox: unknown[] = [];
  private readonly inTransit: Packet[] = [];
  /** Messages accepted here and not yet received there. */
  private unread = 0;
  private greeted = false;
  private greetingArrived = false;
  private flushing = false;

  constructor(
    private readonly connection: SimConnection,
    readonly inc: Incarnation,
    private readonly link: Link,
    private readonly codec: AnyCodec,
    public state: 'dialling' | 'open' | 'closed',
  ) {}

  send(message: unknown): boolean {
    const { world } = this.connection;
    if (this.state === 'closed' || this.inc.state === 'dead') return false;
    if (this.unread >= world.shape.network.queueMax) {
      world.probes.sometimes('network.queue-full');
      return false;
    }
    this.unread++;
    this.outbox.push(message);
    this.flushLater();
    return true;
  }

  close(): void {
    if (this.state === 'closed' || this.inc.state === 'dead') return;
    const wasOpen = this.state === 'open';
    if (wasOpen) this.flush();
    this.state = 'closed';
    if (wasOpen && !this.connection.broken) this.dispatch({ kind: 'end' });
    // Accepted there, but the answer is still on its way back: the server waits for somebody who is gone.
    else this.connection.server?.endsAfter(this.link.drawDelayUs(), 'the other end closed');
    this.connection.settle();
  }

  /** The dial was answered: what waited may leave. */
  opened(): void {
    if (this.state !== 'dialling') return;
    this.state = 'open';
    this.flushLater();
  }

  /** Ends this end from outside, after a time. */
  endsAfter(afterUs: number, reason: string): void {
    if (this.state === 'closed' || this.inc.state === 'dead') return;
    this.connection.world.schedule(afterUs, this.inc, () => this.ended(reason));
  }

  /** @param refused nobody listens where it was dialled to, or so the way there says */
  ended(reason: string, refused = false): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.outbox = [];
    this.connection.settle();
    this.handler?.closed(reason, refused);
  }

  private flushLater(): void {
    if (this.flushing || this.state !== 'open') return;
    this.flushing = true;
    this.connection.world.atTurnEnd(() => {
      this.flushing = false;
      if (this.state === 'open' && this.inc.state !== 'dead') this.flush();
    });
  }

  private flush(): void {
    if (this.outbox.length === 0 || this.connection.broken) return;
    const messages = this.outbox;
    this.outbox = [];
    if (!this.connection.datagrams) {
      this.dispatch(this.pack(messages));
      return;
    }
    for (const message of messages) {
      if (this.greeted) this.throwOut(this.pack([message]));
      else this.dispatch(this.pack([message]));
      this.greeted = true;
    }
  }

  private pack(messages: readonly unknown[]): Packet {
    if (this.connection.world.shape.network.codec) {
      return { kind: 'bytes', bytes: Uint8Array.from(this.codec.encode(messages)), count: messages.length };
    }
    return { kind: 'objects', messages, sums: messages.map(seal) };
  }

  /** Sends in order and for certain, unless the connection breaks. */
  private dispatch(packet: Packet): void {
    const { peer } = this;
    if (peer === undefined) return;
    this.inTransit.push(packet);
    this.link.carry(peer.inc, this.arrive);
  }

  private readonly arrive = (): void => {
    const { peer } = this;
    if (peer === undefined || this.connection.broken) return;
    if (this.link.holds(peer.inc, this.arrive)) return;
    const packet = this.inTransit.shift();
    if (packet !== undefined) this.deliver(peer, packet);
    this.greetingArrived = true;
  };

  /** Sends as a datagram: it may be lost, arrive twice, or overtake others. */
  private throwOut(packet: Packet): void {
    const { peer, link } = this;
    const { lossPermille, duplicatePermille } = this.connection.world.network.datagramFaults;
    if (peer === undefined) return;
    const lost = link.cut || link.draws.chance(lossPermille, 1000);
    const twice = !lost && link.draws.chance(duplicatePermille, 1000);
    if (lost) {
      this.unread -= countOf(packet);
      this.connection.world.network.count(link.cut ? 'cut-message' : 'loss');
      return;
    }
    link.carry(peer.inc, () => this.land(peer, packet));
    if (!twice) return;
    this.connection.world.network.count('duplicate');
    this.unread += countOf(packet);
    link.carry(peer.inc, () => this.land(peer, packet));
  }

  private land(peer: End, packet: Packet): void {
    if (this.connection.broken) return;
    // Overtaking the handshake would only look like a connection that never opened.
    if (this.link.cut || !this.greetingArrived) this.unread -= countOf(packet);
    else if (!this.link.holds(peer.inc, () => this.land(peer, packet))) this.deliver(peer, packet);
  }

  private deliver(peer: End, packet: Packet): void {
    const { world, protocol, id } = this.connection;
    this.unread -= countOf(packet);
    if (peer.state === 'closed' || peer.handler === undefined) return;
    peer.opened();
    if (packet.kind === 'end') {
      peer.ended('the other end closed');
      return;
    }
    const messages = this.unpack(packet);
    world.trace.mix(id);
    world.trace.mix(messages.length);
    world.trace.line(world.now, world.events, this.link.to, 'recv', {
      from: this.link.from,
      on: protocol.name,
      messages,
    });
    for (const message of messages) {
      // The receiver may close, or die, in the midst of a batch.
      if (peer.isClosed || peer.inc.state === 'dead') return;
      peer.handler.receive(message);
    }
  }

  /** A getter, because the compiler takes a field's narrowed value for granted across calls. */
  private get isClosed(): boolean {
    return this.state === 'closed';
  }

  private unpack(packet: Exclude<Packet, { kind: 'end' }>): readonly unknown[] {
    if (packet.kind === 'bytes') {
      const messages = this.codec.decode(packet.bytes);
      if (messages.length !== packet.count) {
        const detail = `${packet.count} messages became ${messages.length} on ${this.connection.protocol.name}`;
        throw new InvariantViolation('codec-keeps-messages', detail);
      }
      return messages;
    }
    for (const [index, message] of packet.messages.entries()) {
      const same = seal(message) === packet.sums[index];
      invariant(
        same,
        'messages-unchanged-once-sent',
        () => `${this.link.from} to ${this.link.to}: ${this.connection.protocol.name}`,
      );
    }
    return packet.messages;
  }
}

function countOf(packet: Packet): number {
  if (packet.kind === 'objects') return packet.messages.length;
  return packet.kind === 'bytes' ? packet.count : 0;
}
