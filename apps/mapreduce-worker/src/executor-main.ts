import { readCredentials } from '@synod/coordination';
import { GrpcChannels } from '@synod/rpc';
import { Executor } from './executor/executor';
import { grpcShuffle } from './executor/grpc-shuffle';
import type { ExecutorReport, Order } from './executor/orders';
import { StoreSnapshot } from './executor/store-snapshot';
import { startWatchdog } from './executor/watchdog';

/**
 * An executor: a child process of the worker daemon that runs map and reduce attempts, user code included. Orders and reports go over
 * the process channel. It never outlives its daemon.
 */
function main(): void {
  const daemon = Number(process.argv[2]);
  const endpoints = (process.argv[3] ?? '').split(',').filter((address) => address !== '');
  startWatchdog(daemon);
  process.on('disconnect', () => process.exit(0));
  // The terminal's Ctrl-C is for the daemon, which ends its executors.
  process.on('SIGINT', () => undefined);
  const report = (said: ExecutorReport): void => void process.send?.(said);
  const credentialsFile = process.argv[4] ?? '';
  const store = new StoreSnapshot(endpoints, credentialsFile === '' ? undefined : readCredentials(credentialsFile));
  const executor = new Executor({
    report,
    shuffle: grpcShuffle(new GrpcChannels()),
    snapshot: () => store,
  });
  process.on('message', (order) => void executor.run(order as Order));
  report({ kind: 'ready' });
}

main();
