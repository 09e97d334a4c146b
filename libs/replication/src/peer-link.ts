import type { Cancel, Connection, Log, Protocol, Random, Timers, Transport } from '@synod/runtime';
import type { NodeId } from './api';
import type { PeerMessage, PeerRelease } from './peer-messages';

/** Both sides speak the same messages. */
export type PeerProtocol = Protocol<PeerMessage, PeerMessage>;

/** Who this node is, to its peers. */
export interface Identity {
  readonly clusterId: string;
  readonly nodeId: NodeId;
  readonly incarnation: string;
  /** Where it serves its peers: for those that have not read of it yet. */
  readonly address?: string;
}

/** The node at the other end, once it has said hello. */
export type Peer = Omit<Identity, 'clusterId'>;

/** What a link tells its node. */
export interface PeerEvents {
  connected(peer: Peer): void;
  received(peer: Peer, message: PeerMessage): void;
  /** Nobody listens where a peer served: its process has ended, or so something on the way says. */
  gone(nodeId: NodeId): void;
}

/**
 * To be raised with whatever an older release does not understand: messages, values in the log, snapshots. `understands` follows when this
 * release gives up an older one.
 */
const RELEASE: PeerRelease = { speaks: 1, understands: 1 };

const BACKOFF_MIN_US = 50_000;
/** Longer turns a blip of the network into an outage. */
const BACKOFF_SPREAD_US = 200_000;
/** After so long without a conversation the other end dials too: where it was told another address, or was told of none. */
const COURTESY_US = 3_000_000;
/** A peer that took the connection but has not said hello by then is dialled anew. */
const HELLO_TIMEOUT_US = 1_000_000;
/** Where a knock is not refused by then, somebody is there. */
const KNOCK_US = 1_000_000;
/** A process that is being ended may take a knock in its last moments: another one follows, so often at most. */
const KNOCKS_MAX = 10;
const KNOCK_AGAIN_US = 20_000;

/** Remembered: strangers may give themselves any name. */
const REFUSALS_MAX = 64;

/** A conversation with one node that has not failed yet, at either end of it. */
interface Open {
  readonly connection: Connection<PeerMessage>;
  /** Absent until its hello arrived: until then nothing else is believed. */
  peer: Peer | undefined;
}

/**
 * The streams to all peers: one per pair of nodes, dialled by the one with the lower id, again and again with 50–250 ms in between;
 * and, every few seconds without it, by the other one, since of two nodes one may have yet to learn where the other is.
 * Nothing is sent or believed before both have said the same cluster and the expected node.
 *
 * When a conversation breaks, both ends look at once whether the other one's process is still there: a kernel says so long before silence would.
 */
export class PeerLinks {
  private readonly open = new Map<NodeId, Open>();
  private readonly addresses = new Map<NodeId, string>();
  private readonly redials = new Map<NodeId, Cancel>();
  /** How to leave it at the last knock. */
  private readonly knocks = new Map<NodeId, Cancel>();
  /** Why a node is not talked to, as it was last logged: it will try again and again. */
  private readonly refusals = new Map<NodeId, string>();
  private stopped = false;

  constructor(
    private readonly self: Identity,
    private readonly protocol: PeerProtocol,
    private readonly ports: {
      readonly transport: Transport;
      readonly timers: Timers;
      readonly random: Random;
      readonly log: Log;
    },
    private readonly events: PeerEvents,
  ) {
    ports.transport.serve(protocol, (connection) => this.accept(connection));
  }

  /** Says where a peer is; dials it if that is this end's part. A later call with another address takes effect at the next dial. */
  setAddress(nodeId: NodeId, address: string): void {
    if (nodeId === this.self.nodeId) return;
    const known = this.addresses.has(nodeId);
    this.addresses.set(nodeId, address);
    if (known) return;
    if (this.self.nodeId < nodeId) this.dial(nodeId);
    else this.dialLater(nodeId, COURTESY_US);
  }

  /** Dials a peer no more. A conversation that is open goes on until it ends. */
  forget(nodeId: NodeId): void {
    this.addresses.delete(nodeId);
    this.redials.get(nodeId)?.();
  }

  /** Where a peer is, as far as this node was told; else as the peer says itself, for as long as it is heard. */
  address(nodeId: NodeId): string | undefined {
    return this.addresses.get(nodeId) ?? this.open.get(nodeId)?.peer?.address;
  }

  /** @returns false if the message was certainly not sent: the peer is not reachable, or its queue is full */
  send(nodeId: NodeId, message: PeerMessage): boolean {
    const open = this.open.get(nodeId);
    return open?.peer !== undefined && open.connection.send(message);
  }

  connectedNodes(): NodeId[] {
    return [...this.open].filter(([, open]) => open.peer !== undefined).map(([nodeId]) => nodeId);
  }

  stop(): void {
    this.stopped = true;
    for (const cancel of this.redials.values()) cancel();
    for (const hangUp of this.knocks.values()) hangUp();
    for (const open of this.open.values()) open.connection.close();
    this.open.clear();
  }

  private dial(nodeId: NodeId): void {
    const address = this.addresses.get(nodeId);
    if (this.stopped || address === undefined || this.open.has(nodeId)) return;
    const connection = this.ports.transport.connect(this.protocol, address, {
      receive: (message) => {
        if (this.open.get(nodeId) !== open) return;
        if (open.peer !== undefined) this.events.received(open.peer, message);
        else if (message.kind === 'hello' && !this.greeted(open, nodeId, message)) abandon();
      },
      closed: (_reason, refused) => {
        this.lost(nodeId, open);
        if (refused === true) this.refused(nodeId);
      },
    });
    const open: Open = { connection, peer: undefined };
    const abandon = (): void => {
      connection.close();
      this.lost(nodeId, open);
    };
    this.open.set(nodeId, open);
    connection.send(this.hello());
    this.ports.timers.after(HELLO_TIMEOUT_US, () => {
      if (open.peer === undefined) abandon();
    });
  }

  private lost(nodeId: NodeId, open: Open): void {
    if (this.open.get(nodeId) !== open) return;
    this.open.delete(nodeId);
    if (open.peer !== undefined) this.knock(nodeId);
    const mine = this.self.nodeId < nodeId;
    this.dialLater(nodeId, mine ? BACKOFF_MIN_US + this.ports.random.below(BACKOFF_SPREAD_US) : COURTESY_US);
  }

  private refused(nodeId: NodeId): void {
    const speaks = this.open.get(nodeId)?.peer !== undefined; // It dialled itself meanwhile.
    if (!speaks && !this.stopped) this.events.gone(nodeId);
  }

  /** Connects, says nothing, and hangs up: whoever is there notices no more than that. */
  private knock(nodeId: NodeId, knocks = 1): void {
    this.knocks.get(nodeId)?.();
    const address = this.addresses.get(nodeId);
    if (this.stopped || address === undefined || this.open.get(nodeId)?.peer !== undefined) return;
    const { transport, timers } = this.ports;
    const closed = (_reason: string, refused?: boolean): void => {
      hangUp();
      if (refused === true) this.refused(nodeId);
      else if (knocks < KNOCKS_MAX)
        this.knocks.set(
          nodeId,
          timers.after(KNOCK_AGAIN_US, () => this.knock(nodeId, knocks + 1)),
        );
    };
    const connection = transport.connect(this.protocol, address, { receive: () => undefined, closed });
    const patience = timers.after(KNOCK_US, () => hangUp());
    const hangUp = (): void => {
      patience();
      connection.close();
      this.knocks.delete(nodeId);
    };
    this.knocks.set(nodeId, hangUp);
  }

  private dialLater(nodeId: NodeId, pause: number): void {
    if (this.stopped) return;
    this.redials.get(nodeId)?.();
    this.redials.set(
      nodeId,
      this.ports.timers.after(pause, () => this.dial(nodeId)),
    );
  }

  private accept(connection: Connection<PeerMessage>): { receive(m: PeerMessage): void; closed(reason: string): void } {
    const open: Open = { connection, peer: undefined };
    return {
      receive: (message) => {
        if (open.peer !== undefined) {
          if (this.open.get(open.peer.nodeId) === open) this.events.received(open.peer, message);
          return;
        }
        if (message.kind !== 'hello' || this.stopped) return; // Overtook its hello, or came too late.
        connection.send(this.hello());
        // The newest conversation wins: the older one may be half open, with a peer that has restarted since.
        const older = this.open.get(message.nodeId);
        if (!this.greeted(open, message.nodeId, message)) return connection.close();
        older?.connection.close();
      },
      closed: () => {
        if (open.peer !== undefined) this.lost(open.peer.nodeId, open);
      },
    };
  }

  /** Believes a hello, or says why not. */
  private greeted(open: Open, expected: NodeId, message: PeerMessage & { kind: 'hello' }): boolean {
    const refusal = this.refusalOf(message, expected);
    if (refusal !== undefined) {
      if (this.refusals.get(message.nodeId) !== refusal) {
        this.ports.log.warn(refusal, {
          expected,
          peer: message.nodeId,
          peerCluster: message.clusterId,
          ownCluster: this.self.clusterId,
        });
      }
      if (this.refusals.size >= REFUSALS_MAX) this.refusals.clear();
      this.refusals.set(message.nodeId, refusal);
      return false;
    }
    this.refusals.delete(message.nodeId);
    const { nodeId, incarnation, address } = message;
    open.peer = { nodeId, incarnation, ...(address === undefined ? {} : { address }) };
    this.open.set(message.nodeId, open);
    this.events.connected(open.peer);
    return true;
  }

  /** Invariant `members-understand-each-other`: a value that only one of two releases reads never goes from one to the other. */
  private refusalOf(hello: PeerMessage & { kind: 'hello' }, expected: NodeId): string | undefined {
    if (hello.clusterId !== this.self.clusterId || hello.nodeId !== expected || expected === this.self.nodeId) {
      return 'refusing a peer of another cluster or under another name; check its address and data folder';
    }
    if (hello.speaks < RELEASE.understands) {
      return 'not talking to a member of an older release, which this one does not understand; start it with this release';
    }
    if (RELEASE.speaks < hello.understands) {
      return 'not talking to a member of a newer release, which does not understand this one; start this member with that release';
    }
    return undefined;
  }

  private hello(): PeerMessage {
    return { kind: 'hello', ...this.self, ...RELEASE };
  }
}
