import path from 'node:path';
import { Command } from 'commander';
import { lockFolder } from '@synod/runtime';
import {
  DEFAULT_PORT_BASE,
  DEFAULT_SHAPE,
  fixedPorts,
  planCluster,
  planOf,
  SERVICES,
  Supervisor,
} from '@synod/launcher';
import { reportEvent, runInForeground, serviceNamed } from './up';

/** What `nx serve <service>` runs: all replicas of one service, next to those of the other services in the same folder. */
export function serveCommand(): Command {
  return new Command('serve')
    .description('Run all processes of one service on the documented ports; what "nx serve" starts.')
    .argument('<service>', SERVICES.join(', '))
    .requiredOption('--data <folder>', 'shared with the other services of the cluster')
    .action(async (name: string, { data }: { data: string }) => {
      const service = serviceNamed(name, SERVICES);
      const folder = path.resolve(data);
      const lock = await lockFolder(folder, `${service}.lock`);
      try {
        const plan = await planOf(folder, () =>
          Promise.resolve(planCluster(DEFAULT_SHAPE, fixedPorts(DEFAULT_PORT_BASE))),
        );
        const ids = plan.processes.filter((process) => process.service === service).map(({ id }) => id);
        const supervisor = new Supervisor({
          plan,
          folder,
          programs: path.resolve(__dirname, '..'),
          restart: true,
          report: reportEvent,
        });
        await runInForeground(supervisor, plan, ids);
      } finally {
        await lock.release();
      }
    });
}
