import type { Metrics } from '@synod/service-kit';
import type { MasterNode } from './master-node';

/** What Prometheus is told of the master. */
export function exposeMaster(metrics: Metrics, node: MasterNode): void {
  metrics.gauge('synod_mapreduce_workers', 'Workers with a session.', [], () => [
    { labels: {}, value: node.workers().length },
  ]);
  metrics.gauge('synod_mapreduce_slots', 'Slots of workers.', ['state'], () => {
    const running = node.workers().reduce((sum, worker) => sum + worker.running.size, 0);
    const all = node.workers().reduce((sum, worker) => sum + worker.slots, 0);
    return [
      { labels: { state: 'busy' }, value: running },
      { labels: { state: 'free' }, value: all - running },
    ];
  });
  metrics.gauge('synod_mapreduce_jobs', 'Jobs remembered, by how they ended.', ['state'], () => {
    const counts = new Map<string, number>();
    for (const { outcome } of node.all()) {
      const state = outcome?.kind ?? 'running';
      counts.set(state, (counts.get(state) ?? 0) + 1);
    }
    return [...counts].map(([state, value]) => ({ labels: { state }, value }));
  });
  metrics.gauge('synod_mapreduce_maps_rerun', 'Finished maps of remembered jobs that had to run again.', [], () => [
    {
      labels: {},
      value: node
        .all()
        .flatMap((job) => job.scheduler?.mapTasks ?? [])
        .reduce((sum, { outputsLost }) => sum + outputsLost, 0),
    },
  ]);
}
