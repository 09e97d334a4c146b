import type { Envelope } from '@synod/paxos';
import type { GroupId, NodeId } from './api';
import { FailureDetector } from './failure-detector';
import type { HostedGroup } from './hosted-group';
import type { ReplicaHostOptions, ReplicaHostPorts } from './options';
import { PeerLinks, type Peer } from './peer-link';
import type { LedGroup, PeerMessage } from './peer-messages';

/** What this node does with what it hears. */
interface Node {
  readonly groups: ReadonlyMap<GroupId, HostedGroup<unknown>>;
  /** A group has removed the replica that is here. */
  destroy(group: HostedGroup<unknown>): void;
}

/**
 * What a node and its peers say to each other, for all groups together: messages between replicas, heartbeats, and who leads what
 * (decision 0005). Tells groups when their leader is lost.
 */
export class Peers {
  private readonly ports: ReplicaHostPorts;
  private readonly links: PeerLinks;
  private readonly failures: FailureDetector;
  /** Of the list of what this node leads: counts its changes, and what each peer was told. */
  private ledVersion = 1;
  private readonly sentLedVersion = new Map<NodeId, number>();
  private stopped = false;

  constructor(
    { identity, peerProtocol, ports }: Pick<ReplicaHostOptions, 'identity' | 'peerProtocol' | 'ports'>,
    electionTimeoutUs: number,
    private readonly node: Node,
  ) {
    this.ports = ports;
    this.links = new PeerLinks(identity, peerProtocol, ports, {
      connected: (peer) => this.connected(peer),
      received: (peer, message) => this.received(peer, message),
      gone: (nodeId) => this.gone(nodeId),
    });
    this.failures = new FailureDetector(identity.nodeId, electionTimeoutUs, ports);
  }

  setAddress(nodeId: NodeId, address: string): void {
    this.links.setAddress(nodeId, address);
  }

  forget(nodeId: NodeId): void {
    this.links.forget(nodeId);
  }

  address(nodeId: NodeId): string | undefined {
    return this.links.address(nodeId);
  }

  /** Begins to watch over the leader of a group. @param impatient there is nobody, or no reason, to wait for */
  watch(group: HostedGroup<unknown>, impatient: boolean): void {
    this.failures.watch(group, impatient);
  }

  /** Whether another node speaks: a conversation may stay open for long after the machine at its other end has fallen silent. */
  hears(nodeId: NodeId): boolean {
    return this.failures.hears(nodeId) && this.links.connectedNodes().includes(nodeId);
  }

  /** A full queue or a lost peer drops the message: the protocol repeats what matters. */
  send(group: HostedGroup<unknown>, { to, message }: Envelope): void {
    const nodeId = group.nodeOf(to);
    if (nodeId === undefined) return; // Not taken yet, or removed.
    this.links.send(nodeId, { kind: 'group', group: group.founding.group, from: group.self.replicaId, to, message });
  }

  /** What this node leads, or whom it has to tell of that, is no longer what it was. */
  ledGroupsChanged(): void {
    this.ledVersion++;
  }

  /** Says that this node lives, and what it leads if that is news; asks for leadership where a leader is suspected. */
  heartbeat(): void {
    for (const nodeId of this.links.connectedNodes()) {
      if (this.sentLedVersion.get(nodeId) !== this.ledVersion) this.sendLedGroups(nodeId);
      this.links.send(nodeId, { kind: 'heartbeat', ledVersion: this.ledVersion });
    }
    for (const group of this.node.groups.values()) this.suspect(group);
  }

  stop(): void {
    this.stopped = true;
    this.links.stop();
  }

  private connected(peer: Peer): void {
    this.failures.heard(peer.nodeId);
    this.failures.forgetList(peer.nodeId);
    this.sentLedVersion.delete(peer.nodeId);
  }

  /** It may be wrong, as silence may be: who still hears the leader supports no campaign. */
  private gone(nodeId: NodeId): void {
    this.failures.gone(nodeId);
    for (const group of this.node.groups.values()) {
      if (group.leaderNode() !== nodeId) continue;
      this.ports.timers.after(this.failures.hasten(group), () => this.suspect(group));
    }
  }

  private received(peer: Peer, message: PeerMessage): void {
    if (this.stopped) return;
    this.failures.heard(peer.nodeId);
    switch (message.kind) {
      case 'hello':
        return;
      case 'heartbeat':
        if (!this.failures.holdsList(peer.nodeId, message.ledVersion)) {
          this.links.send(peer.nodeId, { kind: 'led-groups-request' });
        }
        return;
      case 'led-groups-request':
        return this.sendLedGroups(peer.nodeId);
      case 'led-groups':
        return this.takeLedGroups(peer, message.version, message.groups);
      case 'group': {
        const group = this.node.groups.get(message.group);
        if (group === undefined || group.self.replicaId !== message.to) return; // Late words to a replica that is not here.
        if (!this.speaksFor(group, peer, message.from)) return;
        group.push({ kind: 'receive', from: message.from, message: message.message });
        return;
      }
      case 'removed': {
        const group = this.node.groups.get(message.group);
        if (group?.self.replicaId === message.replicaId) this.node.destroy(group);
      }
    }
  }

  /** Whether a peer is the acceptor that the group knows: the same node, on the disk it was founded with. */
  private speaksFor(group: HostedGroup<unknown>, peer: Peer, replicaId: number): boolean {
    if (group.hasRemoved(replicaId)) {
      this.links.send(peer.nodeId, { kind: 'removed', group: group.founding.group, replicaId });
      return false;
    }
    const member = group.memberOf(replicaId);
    if (member?.nodeId === undefined) {
      // This replica is behind. The log will tell it who that is; until then it listens, or it might never hear.
      group.meet(replicaId, peer.nodeId);
      return true;
    }
    if (member.nodeId !== peer.nodeId) return false;
    if (member.incarnation === peer.incarnation) return true;
    this.ports.log.warn('ignoring a replica whose data folder is not the one that was founded', {
      group: group.founding.group,
      node: peer.nodeId,
      expected: member.incarnation,
      found: peer.incarnation,
    });
    return false;
  }

  private takeLedGroups(peer: Peer, version: number, led: readonly LedGroup[]): void {
    this.failures.takeList(peer.nodeId, version, led);
    for (const { group: id, ballot, chosenThrough } of led) {
      const group = this.node.groups.get(id);
      if (group === undefined || !this.speaksFor(group, peer, ballot.replica)) continue;
      group.push({ kind: 'led-by', ballot, chosenThrough });
    }
  }

  private sendLedGroups(nodeId: NodeId): void {
    const groups: LedGroup[] = [];
    for (const { founding, configuration, replica, leads } of this.node.groups.values()) {
      if (!leads || !configuration.members.some((member) => member.nodeId === nodeId)) continue;
      groups.push({
        group: founding.group,
        ballot: replica.leaderBallot ?? replica.promised,
        chosenThrough: replica.chosenThrough,
      });
    }
    const sent = this.links.send(nodeId, { kind: 'led-groups', version: this.ledVersion, groups });
    if (sent) this.sentLedVersion.set(nodeId, this.ledVersion);
  }

  private suspect(group: HostedGroup<unknown>): void {
    if (this.stopped) return;
    if (this.failures.suspects(group, this.ports.clock.monotonicUs())) group.push({ kind: 'leader-lost' });
  }
}
