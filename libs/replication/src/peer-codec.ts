import { messageCodec, required, type peerV1 } from '@synod/contracts';
import { unreachable } from '@synod/invariant';
import type { Message, Released, Value } from '@synod/paxos';
import type { Codec } from '@synod/runtime';
import { ballotFromWire, ballotToWire } from './ballot-codec';
import type { LedGroup, PeerMessage } from './peer-messages';
import type { PeerProtocol } from './peer-link';

/** The stream between two nodes, as protobuf: see protos/synod/peer/v1/peer.proto. */
export function peerProtocol(): PeerProtocol {
  return {
    name: '/synod.peer.v1.Peer/Exchange',
    up: batchCodec('synod.peer.v1.ExchangeRequest'),
    down: batchCodec('synod.peer.v1.ExchangeResponse'),
  };
}

function batchCodec(name: 'synod.peer.v1.ExchangeRequest' | 'synod.peer.v1.ExchangeResponse'): Codec<PeerMessage> {
  const codec = messageCodec(name);
  return {
    encode: (batch) => codec.encode({ messages: batch.map(toWire) }),
    decode: (bytes) => codec.decode(bytes).messages.map(fromWire),
  };
}

function toWire(message: PeerMessage): peerV1.PeerMessage {
  switch (message.kind) {
    case 'hello': {
      const { clusterId, nodeId, incarnation, address = '', speaks, understands } = message;
      return { hello: { clusterId, nodeId, incarnation, address, speaks, understands } };
    }
    case 'heartbeat':
      return { heartbeat: { ledVersion: message.ledVersion } };
    case 'led-groups':
      return { ledGroups: { version: message.version, groups: message.groups.map(ledGroupToWire) } };
    case 'led-groups-request':
      return { ledGroupsRequest: {} };
    case 'removed':
      return { removed: { group: message.group, replicaId: message.replicaId } };
    case 'group':
      return {
        groupMessage: {
          group: message.group,
          fromReplicaId: message.from,
          toReplicaId: message.to,
          ...groupBodyToWire(message.message),
        },
      };
  }
}

function fromWire(message: peerV1.PeerMessage__Output): PeerMessage {
  switch (message.body) {
    case 'hello': {
      const { clusterId, nodeId, incarnation, address, speaks, understands } = required(message.hello, 'hello');
      return {
        kind: 'hello',
        clusterId,
        nodeId,
        incarnation,
        speaks,
        understands,
        ...(address === '' ? {} : { address }),
      };
    }
    case 'heartbeat':
      return { kind: 'heartbeat', ledVersion: Number(required(message.heartbeat, 'heartbeat').ledVersion) };
    case 'ledGroups': {
      const { version, groups } = required(message.ledGroups, 'led_groups');
      return { kind: 'led-groups', version: Number(version), groups: groups.map(ledGroupFromWire) };
    }
    case 'ledGroupsRequest':
      return { kind: 'led-groups-request' };
    case 'removed': {
      const { group, replicaId } = required(message.removed, 'removed');
      return { kind: 'removed', group, replicaId };
    }
    case 'groupMessage': {
      const body = required(message.groupMessage, 'group_message');
      const { group, fromReplicaId: from, toReplicaId: to } = body;
      return { kind: 'group', group, from, to, message: groupBodyFromWire(body) };
    }
    case undefined:
      throw new TypeError('the peer message has no body that this release knows');
    default:
      return unreachable(message.body);
  }
}

function ledGroupToWire({ group, ballot, chosenThrough }: LedGroup): peerV1.LedGroup {
  return { group, ballot: ballotToWire(ballot), chosenThrough };
}

function ledGroupFromWire({ group, ballot, chosenThrough }: peerV1.LedGroup__Output): LedGroup {
  return { group, ballot: ballotFromWire(ballot), chosenThrough: Number(chosenThrough) };
}

function releasedToWire({ ballot, round }: Released): peerV1.ReleasedLeases {
  return { ballot: ballotToWire(ballot), round };
}

function releasedFromWire({ ballot, round }: peerV1.ReleasedLeases__Output): Released {
  return { ballot: ballotFromWire(ballot), round: Number(round) };
}

/** The member of the oneof `body` that carries a Paxos message. */
function groupBodyToWire(message: Message): peerV1.GroupMessage {
  switch (message.kind) {
    case 'probe':
      return { probe: { ballot: ballotToWire(message.ballot) } };
    case 'probe-reply': {
      const { ballot, granted, promised, chosenThrough } = message;
      return { probeReply: { ballot: ballotToWire(ballot), granted, promised: ballotToWire(promised), chosenThrough } };
    }
    case 'prepare':
      return {
        prepare: {
          ballot: ballotToWire(message.ballot),
          firstInstance: message.firstInstance,
          ...(message.released === undefined ? {} : { released: releasedToWire(message.released) }),
        },
      };
    case 'promise': {
      const { ballot, firstInstance, page, last, votes, chosenThrough } = message;
      return {
        promise: {
          ballot: ballotToWire(ballot),
          firstInstance,
          page,
          last,
          votes: votes.map((vote) => ({
            instance: vote.instance,
            ballot: ballotToWire(vote.ballot),
            commands: [...vote.value],
          })),
          chosenThrough,
        },
      };
    }
    case 'nack':
      return { nack: { ballot: ballotToWire(message.ballot), promised: ballotToWire(message.promised) } };
    case 'accept': {
      const { ballot, instance, value, chosenThrough } = message;
      return { accept: { ballot: ballotToWire(ballot), instance, commands: [...value], chosenThrough } };
    }
    case 'accepted': {
      const { ballot, instance, chosenThrough } = message;
      return { accepted: { ballot: ballotToWire(ballot), instance, chosenThrough } };
    }
    case 'chosen':
      return { chosen: { ballot: ballotToWire(message.ballot), chosenThrough: message.chosenThrough } };
    case 'chosen-reply':
      return { chosenReply: { ballot: ballotToWire(message.ballot), chosenThrough: message.chosenThrough } };
    case 'confirm':
      return {
        confirm: {
          ballot: ballotToWire(message.ballot),
          round: message.round,
          ...(message.holdUs === undefined ? {} : { holdUs: message.holdUs }),
        },
      };
    case 'confirmed':
      return {
        confirmed: {
          ballot: ballotToWire(message.ballot),
          round: message.round,
          ...(message.held === undefined ? {} : { held: true }),
        },
      };
    case 'take-over':
      return {
        takeOver: {
          ballot: ballotToWire(message.ballot),
          ...(message.round === undefined ? {} : { leasing: true, round: message.round }),
        },
      };
    case 'catch-up':
      return { catchUp: { firstInstance: message.firstInstance } };
    case 'catch-up-reply': {
      const entries = message.entries.map(({ instance, value }) => ({ instance, commands: [...value] }));
      return { catchUpReply: { entries, chosenThrough: message.chosenThrough } };
    }
    case 'needs-snapshot':
      return { needsSnapshot: { truncatedThrough: message.truncatedThrough } };
  }
}

function groupBodyFromWire(message: peerV1.GroupMessage__Output): Message {
  switch (message.body) {
    case 'probe':
      return { kind: 'probe', ballot: ballotFromWire(message.probe?.ballot) };
    case 'probeReply': {
      const { ballot, granted, promised, chosenThrough } = required(message.probeReply, 'probe_reply');
      return {
        kind: 'probe-reply',
        ballot: ballotFromWire(ballot),
        granted,
        promised: ballotFromWire(promised),
        chosenThrough: Number(chosenThrough),
      };
    }
    case 'prepare': {
      const { ballot, firstInstance, released } = required(message.prepare, 'prepare');
      return {
        kind: 'prepare',
        ballot: ballotFromWire(ballot),
        firstInstance: Number(firstInstance),
        ...(released === null ? {} : { released: releasedFromWire(released) }),
      };
    }
    case 'promise': {
      const { ballot, firstInstance, page, last, votes, chosenThrough } = required(message.promise, 'promise');
      return {
        kind: 'promise',
        ballot: ballotFromWire(ballot),
        firstInstance: Number(firstInstance),
        page,
        last,
        votes: votes.map((vote) => ({
          instance: Number(vote.instance),
          ballot: ballotFromWire(vote.ballot),
          value: owned(vote.commands),
        })),
        chosenThrough: Number(chosenThrough),
      };
    }
    case 'nack': {
      const { ballot, promised } = required(message.nack, 'nack');
      return { kind: 'nack', ballot: ballotFromWire(ballot), promised: ballotFromWire(promised) };
    }
    case 'accept': {
      const { ballot, instance, commands, chosenThrough } = required(message.accept, 'accept');
      return {
        kind: 'accept',
        ballot: ballotFromWire(ballot),
        instance: Number(instance),
        value: owned(commands),
        chosenThrough: Number(chosenThrough),
      };
    }
    case 'accepted': {
      const { ballot, instance, chosenThrough } = required(message.accepted, 'accepted');
      return {
        kind: 'accepted',
        ballot: ballotFromWire(ballot),
        instance: Number(instance),
        chosenThrough: Number(chosenThrough),
      };
    }
    case 'chosen': {
      const { ballot, chosenThrough } = required(message.chosen, 'chosen');
      return { kind: 'chosen', ballot: ballotFromWire(ballot), chosenThrough: Number(chosenThrough) };
    }
    case 'chosenReply': {
      const { ballot, chosenThrough } = required(message.chosenReply, 'chosen_reply');
      return { kind: 'chosen-reply', ballot: ballotFromWire(ballot), chosenThrough: Number(chosenThrough) };
    }
    case 'confirm': {
      const { ballot, round, holdUs } = required(message.confirm, 'confirm');
      const asks = Number(holdUs) === 0 ? {} : { holdUs: Number(holdUs) };
      return { kind: 'confirm', ballot: ballotFromWire(ballot), round: Number(round), ...asks };
    }
    case 'confirmed': {
      const { ballot, round, held } = required(message.confirmed, 'confirmed');
      return {
        kind: 'confirmed',
        ballot: ballotFromWire(ballot),
        round: Number(round),
        ...(held ? { held } : {}),
      };
    }
    case 'takeOver': {
      const { ballot, leasing, round } = required(message.takeOver, 'take_over');
      return { kind: 'take-over', ballot: ballotFromWire(ballot), ...(leasing ? { round: Number(round) } : {}) };
    }
    case 'catchUp':
      return { kind: 'catch-up', firstInstance: Number(required(message.catchUp, 'catch_up').firstInstance) };
    case 'catchUpReply': {
      const { entries, chosenThrough } = required(message.catchUpReply, 'catch_up_reply');
      return {
        kind: 'catch-up-reply',
        entries: entries.map(({ instance, commands }) => ({ instance: Number(instance), value: owned(commands) })),
        chosenThrough: Number(chosenThrough),
      };
    }
    case 'needsSnapshot': {
      const { truncatedThrough } = required(message.needsSnapshot, 'needs_snapshot');
      return { kind: 'needs-snapshot', truncatedThrough: Number(truncatedThrough) };
    }
    case undefined:
      throw new TypeError('the group message has no body that this release knows');
    default:
      return unreachable(message.body);
  }
}

/** Values stay in memory as long as the log does: copied out of the network's buffer, which may be far larger. */
function owned(commands: readonly Buffer[]): Value {
  return commands.map((command) => Buffer.from(command));
}
