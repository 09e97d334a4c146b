import type { Metrics } from '@synod/service-kit';
import type { ConsensusNode } from './node';

/** What a member tells Prometheus of its group and of its watches. */
export function exposeNode(metrics: Metrics, node: ConsensusNode): void {
  const { host } = node;
  const gauge = (name: string, help: string, read: () => number): void =>
    metrics.gauge(name, help, ['group'], () => [{ labels: { group: 'consensus' }, value: read() }]);
  gauge('synod_group_leader', 'Whether this replica leads its group.', () => (host.isLeader ? 1 : 0));
  gauge('synod_group_has_leader', 'Whether this replica knows a leader.', () => (host.hasLeader ? 1 : 0));
  gauge('synod_group_ballot_round', 'Round of the highest ballot promised.', () => host.group.status().promised.round);
  gauge('synod_group_chosen', 'Last instance known to be chosen.', () => host.group.status().chosenThrough);
  gauge('synod_group_applied', 'Last instance applied.', () => host.group.status().appliedThrough);
  gauge(
    'synod_group_truncated',
    'Last instance forgotten; a member that is behind it is sent a snapshot.',
    () => host.group.status().truncatedThrough,
  );
  gauge('synod_coordination_revision', 'Revision of the coordination store.', () => Number(host.revision));
  gauge('synod_coordination_watches', 'Watches open at this member.', () => host.watches.size);
  gauge('synod_oracle_holder', 'Whether this member hands out timestamps.', () => (node.oracle.holds ? 1 : 0));
  gauge('synod_store_bytes', 'Size of the store on disk.', () => host.space?.stored.fileBytes ?? 0);
  gauge('synod_store_in_use_bytes', 'Of it, what holds data.', () => host.space?.stored.inUseBytes ?? 0);
  gauge('synod_store_quota_bytes', 'Above it puts are refused.', () => host.space?.quotaBytes ?? 0);
  gauge('synod_coordination_alarms', 'Alarms raised, of any member.', () => host.alarms.length);
}
