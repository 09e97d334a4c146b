import { serviceDefinition, type ServiceTypes } from '@synod/contracts';
import type { CallContext, ServiceHandlers } from '@synod/rpc';
import type { Gatekeeper } from '../auth/gatekeeper';
import { callerOf } from './caller-of';
import { asStatus } from './member';

/** Who may make a call once users are checked. */
export type AccessRule =
  /** Everyone: it tells nothing of the keys and changes nothing. */
  | 'open'
  /** Whoever shows a good token. */
  | 'user'
  /** Who has the root role. */
  | 'administrator'
  /** Whoever may use the keys that it touches, or change users: judged together with the state, by `Authorities`. */
  | 'judged-by-state';

/** Every service that clients of a member may call. */
export type ServedService =
  | 'etcdserverpb.KV'
  | 'etcdserverpb.Watch'
  | 'etcdserverpb.Lease'
  | 'etcdserverpb.Cluster'
  | 'etcdserverpb.Maintenance'
  | 'etcdserverpb.Auth'
  | 'v3lockpb.Lock'
  | 'v3electionpb.Election'
  | 'synod.consensus.v1.TimestampOracle'
  | 'synod.consensus.v1.KvStream';

type Rules = { readonly [Service in ServedService]: { readonly [Method in keyof ServiceTypes[Service]]: AccessRule } };

/**
 * The rule of every call: one that is added to a contract does not compile without. Where etcd's releases differ, the stricter one:
 * several let calls through that change things or show the cluster (GHSA-q8m4-xhhv-38mg).
 */
export const ACCESS_RULES = {
  'etcdserverpb.KV': {
    Range: 'judged-by-state',
    Put: 'judged-by-state',
    DeleteRange: 'judged-by-state',
    Txn: 'judged-by-state',
    // Of an administrator, as the state judges it.
    Compact: 'judged-by-state',
  },
  'etcdserverpb.Watch': { Watch: 'judged-by-state' },
  'etcdserverpb.Lease': {
    LeaseGrant: 'judged-by-state',
    LeaseRevoke: 'judged-by-state',
    LeaseKeepAlive: 'judged-by-state',
    LeaseTimeToLive: 'judged-by-state',
    LeaseLeases: 'judged-by-state',
  },
  'etcdserverpb.Cluster': {
    // Clients find the other members by it.
    MemberList: 'user',
    MemberAdd: 'administrator',
    MemberRemove: 'administrator',
    MemberUpdate: 'administrator',
    MemberPromote: 'administrator',
  },
  'etcdserverpb.Maintenance': {
    // Health checks list alarms. Setting and clearing one is a command: of an administrator, as the state judges it.
    Alarm: 'user',
    Status: 'administrator',
    Defragment: 'administrator',
    Hash: 'administrator',
    HashKV: 'administrator',
    Snapshot: 'administrator',
    MoveLeader: 'administrator',
    Downgrade: 'administrator',
  },
  'etcdserverpb.Auth': {
    AuthEnable: 'judged-by-state',
    AuthDisable: 'judged-by-state',
    // How a client finds out that it has to authenticate.
    AuthStatus: 'open',
    Authenticate: 'open',
    UserAdd: 'judged-by-state',
    UserGet: 'judged-by-state',
    UserList: 'judged-by-state',
    UserDelete: 'judged-by-state',
    UserChangePassword: 'judged-by-state',
    UserGrantRole: 'judged-by-state',
    UserRevokeRole: 'judged-by-state',
    RoleAdd: 'judged-by-state',
    RoleGet: 'judged-by-state',
    RoleList: 'judged-by-state',
    RoleDelete: 'judged-by-state',
    RoleGrantPermission: 'judged-by-state',
    RoleRevokePermission: 'judged-by-state',
  },
  // Made of reads and writes of keys, with the caller's rights.
  'v3lockpb.Lock': { Lock: 'judged-by-state', Unlock: 'judged-by-state' },
  'v3electionpb.Election': {
    Campaign: 'judged-by-state',
    Proclaim: 'judged-by-state',
    Leader: 'judged-by-state',
    Observe: 'judged-by-state',
    Resign: 'judged-by-state',
  },
  // A timestamp says nothing but that time goes on.
  'synod.consensus.v1.TimestampOracle': { Exchange: 'open', GetTimestamp: 'open' },
  // Each of its requests, as the call of etcd that it stands for.
  'synod.consensus.v1.KvStream': { Exchange: 'judged-by-state' },
} as const satisfies Rules;

/** A handler of any shape; its own types were checked where it was written. */
type AnyHandler = (...args: [...unknown[], CallContext]) => unknown;

/** The handlers of a service, each behind its rule: none of them can forget it. */
export function guarded<Name extends ServedService, Handlers extends ServiceHandlers<Name>>(
  name: Name,
  handlers: Handlers,
  gatekeeper: Gatekeeper,
): Handlers {
  const rules: Readonly<Record<string, AccessRule>> = ACCESS_RULES[name];
  const methods = serviceDefinition(name) as Readonly<
    Record<string, { responseStream: boolean; requestStream: boolean }>
  >;
  return Object.fromEntries(
    Object.entries(handlers as unknown as Readonly<Record<string, AnyHandler>>).map(([method, handler]) => {
      const rule = rules[method];
      if (rule === 'open' || rule === 'judged-by-state') return [method, handler];
      const { responseStream = false, requestStream = false } = methods[method] ?? {};
      const generates = responseStream && !requestStream;
      return [method, generates ? guardedStream(handler, rule, gatekeeper) : guardedCall(handler, rule, gatekeeper)];
    }),
  ) as unknown as Handlers;
}

function guardedCall(handler: AnyHandler, rule: DemandedRule, gatekeeper: Gatekeeper): AnyHandler {
  return async (...args) => {
    await demandAccess(gatekeeper, rule, args.at(-1) as CallContext);
    return handler(...args);
  };
}

function guardedStream(handler: AnyHandler, rule: DemandedRule, gatekeeper: Gatekeeper): AnyHandler {
  return async function* (...args) {
    await demandAccess(gatekeeper, rule, args.at(-1) as CallContext);
    yield* handler(...args) as AsyncIterable<unknown>;
  };
}

/** A call that is not in the table would be a mistake of ours: nobody but administrators may profit by it. */
type DemandedRule = 'user' | 'administrator' | undefined;

async function demandAccess(gatekeeper: Gatekeeper, rule: DemandedRule, context: CallContext): Promise<void> {
  if (!gatekeeper.enabled) return;
  try {
    await gatekeeper.demand(callerOf(context), (authorities, store, authority) =>
      rule === 'user' ? authorities.refuseNobody(store, authority) : authorities.refuseAdministration(store, authority),
    );
  } catch (error) {
    throw asStatus(error);
  }
}
