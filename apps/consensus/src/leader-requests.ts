import { messageCodec, required, type consensusV1 } from '@synod/contracts';
import { unreachable } from '@synod/invariant';
import type { ErrorResponse, Numbered, RemoteError, RequestProtocol } from '@synod/protocols';
import type { Instance } from '@synod/paxos';
import type { GroupConfiguration } from '@synod/replication';
import type { ErrorKind } from '@synod/runtime';
import type { MemberOperation } from './member-changes';
import type { StateReport } from './replica-audit';
import { isEtcdErrorName, type EtcdErrorName } from './state/errors';
import type { LeaseId, Revision } from './state/requests';
import { decodeResult, encodeResult } from './state/result-codec';
import type { ApplyResult } from './state/results';

/** What only the leader can do; see protos/synod/consensus/v1/forward.proto. */
export type LeaderRequest =
  /** Puts an encoded command into the log. */
  | { readonly kind: 'propose'; readonly command: Buffer }
  /** How much of the log a linearizable read that begins now has to see. */
  | { readonly kind: 'barrier' }
  | { readonly kind: 'keep-alive'; readonly lease: LeaseId }
  | { readonly kind: 'time-to-live'; readonly lease: LeaseId }
  | { readonly kind: 'change-members'; readonly operation: MemberOperation }
  /** What a member's state hashed to at a place in the log. */
  | { readonly kind: 'report-state'; readonly report: StateReport };

export type LeaderResponse =
  | { readonly kind: 'applied'; readonly result: ApplyResult }
  | { readonly kind: 'barrier'; readonly applied: Instance }
  /** `refusal`: the name of an error; then nothing changed. */
  | {
      readonly kind: 'members-changed';
      readonly refusal?: EtcdErrorName;
      readonly configuration?: GroupConfiguration;
    }
  /** `revision` is from before the renewal; `ttlSeconds` 0 if there is no such lease. */
  | { readonly kind: 'kept-alive'; readonly revision: Revision; readonly ttlSeconds: bigint }
  | {
      readonly kind: 'lease-state';
      readonly revision: Revision;
      readonly grantedSeconds: bigint;
      /** −1 if there is no such lease. */
      readonly remainingSeconds: bigint;
      readonly keys: readonly Buffer[];
    }
  | { readonly kind: 'state-reported' };

export type ForwardProtocol = RequestProtocol<LeaderRequest, LeaderResponse>;

export function forwardProtocol(): ForwardProtocol {
  const up = messageCodec('synod.consensus.v1.ForwardExchangeRequest');
  const down = messageCodec('synod.consensus.v1.ForwardExchangeResponse');
  return {
    name: '/synod.consensus.v1.Forward/Exchange',
    up: {
      encode: (batch) => up.encode({ requests: batch.map(requestToWire) }),
      decode: (bytes) => up.decode(bytes).requests.map(requestFromWire),
    },
    down: {
      encode: (batch) => down.encode({ responses: batch.map(responseToWire) }),
      decode: (bytes) => down.decode(bytes).responses.map(responseFromWire),
    },
  };
}

function requestToWire({ id, body }: Numbered<LeaderRequest>): consensusV1.LeaderRequest {
  switch (body.kind) {
    case 'propose':
      return { id, propose: { command: body.command } };
    case 'barrier':
      return { id, barrier: {} };
    case 'keep-alive':
      return { id, keepAlive: { lease: body.lease.toString() } };
    case 'time-to-live':
      return { id, timeToLive: { lease: body.lease.toString() } };
    case 'change-members':
      return { id, changeMembers: operationToWire(body.operation) };
    case 'report-state': {
      const { nodeId, position, hash } = body.report;
      return { id, reportState: { nodeId, ...position, hash: hash.toString() } };
    }
  }
}

function requestFromWire(message: consensusV1.LeaderRequest__Output): Numbered<LeaderRequest> {
  return { id: message.id, body: requestBodyFromWire(message) };
}

function requestBodyFromWire(message: consensusV1.LeaderRequest__Output): LeaderRequest {
  switch (message.body) {
    case 'propose':
      return { kind: 'propose', command: required(message.propose, 'propose').command };
    case 'barrier':
      return { kind: 'barrier' };
    case 'keepAlive':
      return { kind: 'keep-alive', lease: BigInt(required(message.keepAlive, 'keep_alive').lease) };
    case 'timeToLive':
      return { kind: 'time-to-live', lease: BigInt(required(message.timeToLive, 'time_to_live').lease) };
    case 'changeMembers': {
      const changeMembers = required(message.changeMembers, 'change_members');
      return { kind: 'change-members', operation: operationFromWire(changeMembers) };
    }
    case 'reportState': {
      const { nodeId, instance, index, hash } = required(message.reportState, 'report_state');
      const report = { nodeId, position: { instance: Number(instance), index }, hash: BigInt(hash) };
      return { kind: 'report-state', report };
    }
    case undefined:
      throw new TypeError('the request to the leader has no body that this release knows');
    default:
      return unreachable(message.body);
  }
}

function responseToWire({ id, body }: Numbered<LeaderResponse | ErrorResponse>): consensusV1.LeaderResponse {
  switch (body.kind) {
    case 'applied':
      return { id, applied: { result: encodeResult(body.result) } };
    case 'barrier':
      return { id, barrierPassed: { applied: body.applied } };
    case 'members-changed': {
      const { refusal = '', configuration } = body;
      return { id, membersChanged: { refusal, configuration: Buffer.from(JSON.stringify(configuration ?? null)) } };
    }
    case 'kept-alive':
      return { id, keptAlive: { revision: body.revision.toString(), ttlSeconds: body.ttlSeconds.toString() } };
    case 'lease-state':
      return {
        id,
        leaseState: {
          revision: body.revision.toString(),
          grantedSeconds: body.grantedSeconds.toString(),
          remainingSeconds: body.remainingSeconds.toString(),
          keys: [...body.keys],
        },
      };
    case 'state-reported':
      return { id, stateReported: {} };
    case 'error':
      return { id, error: { kind: body.error.kind, message: body.error.message, hint: body.error.hint ?? '' } };
  }
}

function responseFromWire(message: consensusV1.LeaderResponse__Output): Numbered<LeaderResponse | ErrorResponse> {
  return { id: message.id, body: responseBodyFromWire(message) };
}

function responseBodyFromWire(message: consensusV1.LeaderResponse__Output): LeaderResponse | ErrorResponse {
  switch (message.body) {
    case 'applied':
      return { kind: 'applied', result: decodeResult(required(message.applied, 'applied').result) };
    case 'barrierPassed':
      return { kind: 'barrier', applied: Number(required(message.barrierPassed, 'barrier_passed').applied) };
    case 'membersChanged': {
      const { refusal, configuration } = required(message.membersChanged, 'members_changed');
      if (isEtcdErrorName(refusal)) return { kind: 'members-changed', refusal };
      return { kind: 'members-changed', configuration: JSON.parse(configuration.toString()) as GroupConfiguration };
    }
    case 'keptAlive': {
      const { revision, ttlSeconds } = required(message.keptAlive, 'kept_alive');
      return { kind: 'kept-alive', revision: BigInt(revision), ttlSeconds: BigInt(ttlSeconds) };
    }
    case 'leaseState': {
      const state = required(message.leaseState, 'lease_state');
      return {
        kind: 'lease-state',
        revision: BigInt(state.revision),
        grantedSeconds: BigInt(state.grantedSeconds),
        remainingSeconds: BigInt(state.remainingSeconds),
        keys: state.keys,
      };
    }
    case 'stateReported':
      return { kind: 'state-reported' };
    case 'error':
      return { kind: 'error', error: errorFromWire(required(message.error, 'error')) };
    case undefined:
      throw new TypeError('the response of the leader has no body that this release knows');
    default:
      return unreachable(message.body);
  }
}

function operationToWire(operation: MemberOperation): consensusV1.ChangeMembers {
  switch (operation.kind) {
    case 'add':
      return { add: { peerAddress: operation.address, learner: operation.learner } };
    case 'remove':
      return { removeReplicaId: operation.replicaId };
    case 'update':
      return { update: { replicaId: operation.replicaId, peerAddress: operation.address } };
    case 'promote':
      return { promoteReplicaId: operation.replicaId };
    case 'take': {
      const { address: peerAddress, nodeId, incarnation } = operation;
      return { take: { peerAddress, nodeId, incarnation } };
    }
  }
}

function operationFromWire(message: consensusV1.ChangeMembers__Output): MemberOperation {
  switch (message.operation) {
    case 'add': {
      const { peerAddress: address, learner } = required(message.add, 'add');
      return { kind: 'add', address, learner };
    }
    case 'removeReplicaId':
      return { kind: 'remove', replicaId: message.removeReplicaId ?? 0 };
    case 'update': {
      const { replicaId, peerAddress: address } = required(message.update, 'update');
      return { kind: 'update', replicaId, address };
    }
    case 'promoteReplicaId':
      return { kind: 'promote', replicaId: message.promoteReplicaId ?? 0 };
    case 'take': {
      const { peerAddress: address, nodeId, incarnation } = required(message.take, 'take');
      return { kind: 'take', address, nodeId, incarnation };
    }
    case undefined:
      throw new TypeError('the change of members has no operation that this release knows');
    default:
      return unreachable(message.operation);
  }
}

/** The failures that a leader reports. Any other says nothing about the effect. */
const KINDS: readonly ErrorKind[] = ['not-leader', 'overloaded', 'unavailable'];

function errorFromWire({ kind, message, hint }: consensusV1.Error__Output): RemoteError {
  const known = KINDS.find((each) => each === kind) ?? 'outcome-unknown';
  return hint === '' ? { kind: known, message } : { kind: known, message, hint };
}
