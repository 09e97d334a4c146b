import type { GrpcServer, ServiceHandlers, ServiceOptions } from '@synod/rpc';
import type { ConsensusNode } from '../node';
import { guarded, type ServedService } from './access-rules';
import { authService } from './auth';
import { clusterService } from './cluster';
import { electionService } from './election';
import { kvService } from './kv';
import { kvStreamService } from './kv-stream';
import { leaseService } from './lease';
import { unlessLearning } from './learning';
import { lockService } from './lock';
import { maintenanceService } from './maintenance';
import { ServedMember } from './member';
import { putTogether } from './put-all';
import { timestampOracleService } from './timestamp-oracle';
import { undecodable } from './undecodable';
import { watchService } from './watch';

/** What a message may have beyond the request in it. (etcd's `grpcOverheadBytes`.) */
const OVERHEAD_BYTES = 512 * 1024;
/** Waiting for a lock or to be elected is what these calls are for. */
const WAITING = { deadlineMsMax: Infinity };

/** Serves everything that clients of the coordination service may call, but the timestamp stream, which the node serves itself. */
export function addEtcdServices(server: GrpcServer, node: ConsensusNode): void {
  const member = new ServedMember(node);
  const { gatekeeper, limits } = node.host;
  const etcds: ServiceOptions = { messageBytesMax: limits.requestBytesMax + OVERHEAD_BYTES, undecodable };
  // Only what has its access rules is served, and only by them.
  const behindRules = <Name extends ServedService, Handlers extends ServiceHandlers<Name>>(
    name: Name,
    handlers: Handlers,
  ): Handlers => unlessLearning<Name, Handlers>(name, guarded<Name, Handlers>(name, handlers, gatekeeper), member);
  const add = <Name extends ServedService>(name: Name, handlers: ServiceHandlers<Name>, options = etcds): void =>
    server.addService(name, behindRules(name, handlers), options);
  const kv = behindRules('etcdserverpb.KV', kvService(member));
  server.addService('etcdserverpb.KV', kv, etcds);
  add('etcdserverpb.Watch', watchService(member));
  add('etcdserverpb.Lease', leaseService(member));
  add('etcdserverpb.Cluster', clusterService(member));
  add('etcdserverpb.Maintenance', maintenanceService(member));
  add('etcdserverpb.Auth', authService(member));
  add('v3lockpb.Lock', lockService(member), { ...etcds, ...WAITING });
  add('v3electionpb.Election', electionService(member), { ...etcds, ...WAITING });
  // Not etcd's: a timestamp comes from the leader, whoever is asked.
  const oracle = 'synod.consensus.v1.TimestampOracle';
  server.addService(oracle, guarded(oracle, timestampOracleService(member), gatekeeper));
  // Nor this one: etcd's calls of keys, many at a time, each behind the rules of the call.
  const stream = 'synod.consensus.v1.KvStream';
  server.addService(stream, guarded(stream, kvStreamService(kv, putTogether(member, kv.Put)), gatekeeper));
}
