import type { Metrics } from '@synod/service-kit';
import type { StorageNode } from './node';

/** What a storage node tells Prometheus of each shard it holds. */
export function exposeNode(metrics: Metrics, node: StorageNode): void {
  type Status = ReturnType<StorageNode['statuses']>[number];
  const perGroup = (name: string, help: string, value: (status: Status) => number): void =>
    metrics.gauge(name, help, ['group'], () =>
      node.statuses().map((status) => ({ labels: { group: status.status.group }, value: value(status) })),
    );
  perGroup('synod_group_leader', 'Whether this replica leads its group.', ({ status }) =>
    Number(status.role === 'leader'),
  );
  perGroup('synod_group_ballot_round', 'Round of the highest ballot promised.', ({ status }) => status.promised.round);
  perGroup('synod_group_chosen', 'Last instance known to be chosen.', ({ status }) => status.chosenThrough);
  perGroup('synod_group_applied', 'Last instance applied.', ({ status }) => status.appliedThrough);
  perGroup(
    'synod_group_truncated',
    'Last instance forgotten; a member that is behind it is sent a snapshot.',
    ({ status }) => status.truncatedThrough,
  );
  perGroup(
    'synod_transactions_in_doubt',
    'Prepared transactions that this leader was not told the outcome of.',
    ({ inDoubtCount }) => inDoubtCount,
  );
}
