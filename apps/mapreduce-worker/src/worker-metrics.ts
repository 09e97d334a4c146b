import type { Metrics } from '@synod/service-kit';
import type { ExecutorPool } from './executor-pool';
import type { MapOutputs } from './map-outputs';

/** What Prometheus is told of the worker. */
export function exposeWorker(
  metrics: Metrics,
  worker: { readonly pool: ExecutorPool; readonly outputs: MapOutputs; readonly shuffledBytes: () => number },
): void {
  const { pool, outputs, shuffledBytes } = worker;
  const figure = (name: string, help: string, read: () => number): void =>
    metrics.gauge(name, help, [], () => [{ labels: {}, value: read() }]);
  figure('synod_mapreduce_attempts_running', 'Attempts that run now.', () => pool.busy);
  figure('synod_mapreduce_attempts_queued', 'Attempts that wait for an executor.', () => pool.queued);
  figure('synod_mapreduce_outputs_held', 'Finished map outputs on this worker.', () => outputs.size);
  figure('synod_mapreduce_shuffle_bytes', 'Bytes of map outputs served since the start.', shuffledBytes);
}
