import path from 'node:path';
import { Command } from 'commander';
import {
  DEFAULT_PORT_BASE,
  DEFAULT_SHAPE,
  fixedPorts,
  planCluster,
  planOf,
  refuseTakenPorts,
  Supervisor,
  watchParent,
} from '@synod/launcher';
import { SERVICES } from '@synod/coordination';
import { lockFolder } from '@synod/runtime';
import { UsageError } from '../failure';
import { rebuildOnChange } from '../rebuild';
import { PROGRAMS, reportEvent, runInForeground, serviceLock, stopRequested } from '../foreground';

interface ServeOptions {
  readonly data: string;
  readonly watch?: boolean;
}

/** What `nx serve <service>` runs: all replicas of one service, next to those of the other services in the same folder. */
export function serveCommand(): Command {
  return new Command('serve')
    .description('Run all processes of one service on the documented ports; what "nx serve" starts.')
    .argument('<service>', SERVICES.join(', '))
    .requiredOption('--data <folder>', 'shared with the other services of the cluster')
    .option('--watch', 'bundle again and restart when a source changes')
    .action((service: string, options: ServeOptions) => serve(service, options));
}

async function serve(name: string, options: ServeOptions): Promise<void> {
  const service = SERVICES.find((known) => known === name);
  if (service === undefined) throw new UsageError(`unknown service ${name}; one of ${SERVICES.join(', ')}`);
  const folder = path.resolve(options.data);
  const lock = await lockFolder(folder, serviceLock(service));
  try {
    const plan = await planOf(folder, () => Promise.resolve(planCluster(DEFAULT_SHAPE, fixedPorts(DEFAULT_PORT_BASE))));
    const processes = plan.processes.filter((process) => process.service === service);
    await refuseTakenPorts(processes);
    const ids = processes.map(({ id }) => id);
    const supervisor = new Supervisor({ plan, folder, programs: PROGRAMS, restart: true, report: reportEvent });
    if (options.watch === true) rebuildOnChange(service, () => supervisor.restart(ids));
    // Nx stops its tasks by signal, but a killed Nx cannot.
    const stop = Promise.race([stopRequested(), new Promise<void>(watchParent)]);
    await runInForeground(supervisor, stop, {
      ids,
      // Services start in any order: one waits for the others as long as it takes.
      readyMs: Infinity,
      onReady: () => process.stdout.write(`${service}: ${ids.join(', ')} ready\n`),
    });
  } finally {
    await lock.release();
  }
}
