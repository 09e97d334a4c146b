import type { GrpcServer } from '@synod/rpc';
import type { ConsensusNode } from '../node';
import { authService } from './auth';
import { clusterService } from './cluster';
import { electionService } from './election';
import { kvService } from './kv';
import { leaseService } from './lease';
import { lockService } from './lock';
import { maintenanceService } from './maintenance';
import { ServedMember } from './member';
import { timestampOracleService } from './timestamp-oracle';
import { watchService } from './watch';

/** Waiting for a lock or to be elected is what these calls are for. */
const WAITING = { deadlineMsMax: Infinity };

/** Serves everything that clients of the coordination service may call, but the timestamp stream, which the node serves itself. */
export function addEtcdServices(server: GrpcServer, node: ConsensusNode): void {
  const member = new ServedMember(node);
  server.addService('etcdserverpb.KV', kvService(member));
  server.addService('etcdserverpb.Watch', watchService(member));
  server.addService('etcdserverpb.Lease', leaseService(member));
  server.addService('etcdserverpb.Cluster', clusterService(member));
  server.addService('etcdserverpb.Maintenance', maintenanceService(member));
  server.addService('etcdserverpb.Auth', authService(member));
  server.addService('v3lockpb.Lock', lockService(member), WAITING);
  server.addService('v3electionpb.Election', electionService(member), WAITING);
  server.addService('synod.consensus.v1.TimestampOracle', timestampOracleService(member));
}
