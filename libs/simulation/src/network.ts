import type { Connection, ConnectionHandler, Protocol, Transport } from '@synod/runtime';
import { SimConnection, type AnyProtocol } from './connection';
import type { Draws } from './draw';
import type { Owner } from './event-heap';
import { Link } from './link';
import { CALM } from './shape';
import type { CrashKind, Incarnation } from './sim-node';
import type { World } from './world';

type Accept = (connection: Connection<unknown>) => ConnectionHandler<unknown>;

/** A directed pair of machines. */
export interface Direction {
  readonly from: string;
  readonly to: string;
}

/** Why a dial failed where nobody listens, or something says so. */
const REFUSED = 'connection refused';

/** A network's own events belong to no process: they happen while machines are down. */
const WIRE: Owner = { id: 0, state: 'running' };

/**
 * Everything between the machines. Connections are ordered streams, as production's are: loss shows as a broken connection, told to
 * both ends at different times. What a blocked link keeps is delivered, in order, when it opens again, unless the connection was
 * given up meanwhile.
 */
export class Network {
  private readonly links = new Map<string, Link>();
  private readonly servers = new Map<Incarnation, Map<string, Accept>>();
  private readonly connections = new Set<SimConnection>();
  private readonly tally = new Map<string, number>();
  private readonly draws: Draws;
  private connectionCount = 0;
  private calmed = false;

  constructor(private readonly world: World) {
    this.draws = world.draws('net', 'connections');
  }

  /** The port of one process. */
  port(inc: Incarnation): Transport {
    return {
      connect: <Up, Down>(protocol: Protocol<Up, Down>, address: string, handler: ConnectionHandler<Down>) => {
        return this.connect(inc, protocol, address, handler);
      },
      serve: <Up, Down>(
        protocol: Protocol<Up, Down>,
        accept: (connection: Connection<Down>) => ConnectionHandler<Up>,
      ) => {
        const served = this.servers.get(inc) ?? new Map<string, Accept>();
        served.set(protocol.name, accept);
        this.servers.set(inc, served);
      },
    };
  }

  link(from: string, to: string): Link {
    const name = `${from}>${to}`;
    let link = this.links.get(name);
    if (link === undefined) {
      link = new Link(this.world, from, to);
      this.links.set(name, link);
    }
    return link;
  }

  /** Lets nothing through in these directions until `uncut`; cuts of one direction add up. Streams across give up after a silence. */
  cut(directions: readonly Direction[]): void {
    for (const { from, to } of directions) {
      if (from === to) continue;
      const link = this.link(from, to);
      link.addCut();
      for (const connection of this.connections) if (crosses(connection, link)) this.giveUpWhileCut(connection, link);
    }
  }

  uncut(directions: readonly Direction[]): void {
    for (const { from, to } of directions) if (from !== to) this.link(from, to).removeCut();
  }

  /** Delays everything in these directions until `unclog`. */
  clog(directions: readonly Direction[]): void {
    for (const { from, to } of directions) this.link(from, to).addClog();
  }

  unclog(directions: readonly Direction[]): void {
    for (const { from, to } of directions) this.link(from, to).removeClog();
  }

  /** Ends every cut and clog between these machines; of all if absent. */
  clear(among?: ReadonlySet<string>): void {
    for (const link of this.links.values()) {
      if (among === undefined || (among.has(link.from) && among.has(link.to))) link.clear();
    }
  }

  /** Breaks all connections between two machines, as a middlebox that restarts does. */
  reset(a: string, b: string): void {
    for (const connection of [...this.connections]) {
      const { from, to } = connection.up;
      if ((from === a && to === b) || (from === b && to === a))
        this.breakSoon(connection, 'connection reset', 0, 1_000_000);
    }
  }

  /** A process is gone. A living kernel resets its connections; a machine without power says nothing. */
  crash(inc: Incarnation, kind: CrashKind): void {
    this.servers.delete(inc);
    const { silenceMinUs, silenceMaxUs } = this.world.shape.network;
    for (const connection of [...this.connections]) {
      if (connection.dialler.inc !== inc && connection.server?.inc !== inc) continue;
      if (kind === 'power') {
        this.breakSoon(connection, 'the other end fell silent', silenceMinUs, silenceMaxUs);
      } else {
        // Sent by the kernel of the dead one: as long under way as any packet, and lost if the way is cut.
        const back = connection.dialler.inc === inc ? connection.up : connection.down;
        if (back.cut) this.breakSoon(connection, 'the other end fell silent', silenceMinUs, silenceMaxUs);
        else this.breakSoon(connection, 'connection reset by the other end', back.drawDelayUs(), back.drawDelayUs());
      }
    }
  }

  /** From now on no message is lost or repeated; delays stay. */
  calm(): void {
    this.calmed = true;
  }

  /** Chances in a thousand that a datagram is lost, or arrives twice. */
  get datagramFaults(): { readonly lossPermille: number; readonly duplicatePermille: number } {
    return this.calmed ? CALM.network : this.world.shape.network;
  }

  /** Counts a thing that happened to messages, for the report of a campaign. */
  count(what: string): void {
    this.tally.set(what, (this.tally.get(what) ?? 0) + 1);
  }

  counts(): ReadonlyMap<string, number> {
    return this.tally;
  }

  private connect(
    inc: Incarnation,
    protocol: AnyProtocol,
    address: string,
    handler: ConnectionHandler<unknown>,
  ): Connection<unknown> {
    const target = address.slice(0, address.lastIndexOf(':'));
    const [up, down] = [this.link(inc.node, target), this.link(target, inc.node)];
    const id = ++this.connectionCount;
    const connection = new SimConnection(this.world, id, protocol, inc, up, down, handler, (ended) => {
      this.connections.delete(ended);
    });
    this.connections.add(connection);
    if (inc.state === 'dead') return connection.dialler;
    this.world.schedule(this.world.shape.network.dialTimeoutUs, inc, () => {
      if (connection.dialler.state === 'dialling') this.abandon(connection, 'no answer');
    });
    const knock = (): void => {
      if (up.cut && up.draws.chance(this.world.shape.network.rejectPermille, 1000))
        this.world.schedule(up.drawDelayUs(), inc, () => this.abandon(connection, REFUSED));
      else if (!up.holds(WIRE, knock)) this.answer(connection, target);
    };
    up.carry(WIRE, knock);
    return connection.dialler;
  }

  /** A dial arrives at a machine. */
  private answer(connection: SimConnection, target: string): void {
    if (connection.broken || connection.dialler.state !== 'dialling' || connection.dialler.inc.state === 'dead') return;
    const node = this.world.nodes.get(target);
    if (node === undefined || !node.powered) return; // The dialler's patience will end.
    const inc = node.incarnation;
    if (inc === undefined) {
      this.reply(connection, () => this.abandon(connection, REFUSED));
      return;
    }
    inc.deliver(() => {
      if (connection.broken || connection.dialler.state !== 'dialling') return;
      const accept = this.servers.get(inc)?.get(connection.protocol.name);
      if (accept === undefined) {
        this.reply(connection, () => this.abandon(connection, `${connection.protocol.name} is not served there`));
        return;
      }
      connection.accept(inc, accept);
      this.reply(connection, () => connection.dialler.opened());
    });
  }

  /** Answers a dial. With datagrams even against a cut, so that conversations in one direction only exist there. */
  private reply(connection: SimConnection, run: () => void): void {
    const { down, dialler } = connection;
    const arrive = (): void => {
      if (!connection.datagrams && down.holds(dialler.inc, arrive)) return;
      run();
    };
    down.carry(dialler.inc, arrive);
  }

  /** The dial failed. */
  private abandon(connection: SimConnection, reason: string): void {
    if (connection.dialler.state !== 'dialling') return;
    connection.broken = true;
    this.connections.delete(connection);
    connection.server?.endsAfter(this.world.shape.network.silenceMinUs, reason);
    connection.dialler.ended(reason, reason === REFUSED);
  }

  private giveUpWhileCut(connection: SimConnection, link: Link): void {
    if (connection.datagrams) return;
    const { silenceMinUs, silenceMaxUs } = this.world.shape.network;
    this.world.schedule(this.draws.between(silenceMinUs, silenceMaxUs), WIRE, () => {
      if (!link.cut || connection.broken) return;
      this.breakSoon(connection, 'no sign of life from the other end', 0, silenceMaxUs - silenceMinUs);
    });
  }

  private breakSoon(connection: SimConnection, reason: string, minUs: number, maxUs: number): void {
    this.count('connection-broken');
    const after = (): { readonly afterUs: number } => ({
      afterUs: this.draws.between(Math.min(minUs, maxUs), Math.max(minUs, maxUs)),
    });
    connection.breakOff(reason, after(), after());
  }
}

function crosses(connection: SimConnection, link: Link): boolean {
  return connection.up === link || connection.down === link;
}
