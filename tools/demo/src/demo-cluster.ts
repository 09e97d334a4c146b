import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  addressesOf,
  DEFAULT_SHAPE,
  freePorts,
  listedPorts,
  planCluster,
  portCount,
  Supervisor,
  type ClusterPlan,
} from '@synod/launcher';
import type { Service } from '@synod/coordination';

/** A cluster of processes of its own, on free loopback ports, in a temporary folder that goes with it. */
export class DemoCluster {
  private constructor(
    readonly folder: string,
    readonly plan: ClusterPlan,
    readonly supervisor: Supervisor,
  ) {}

  static async create(say: (text: string) => void): Promise<DemoCluster> {
    const folder = await mkdtemp(path.join(tmpdir(), 'synod-demo-'));
    const plan = planCluster(DEFAULT_SHAPE, listedPorts(await freePorts(portCount(DEFAULT_SHAPE))));
    const supervisor = new Supervisor({
      plan,
      folder,
      programs: path.resolve(__dirname, '../../apps'),
      restart: true,
      report: (event) => {
        if (event.kind === 'died') say(`  ${event.id} (pid ${event.pid}) died: ${event.cause}`);
      },
    });
    return new DemoCluster(folder, plan, supervisor);
  }

  addresses(service: Service): string[] {
    return addressesOf(this.plan, service);
  }

  pidOf(id: string): number {
    return this.supervisor.running().find((process) => process.id === id)?.pid ?? 0;
  }

  /** Leaves no process and no file. */
  async remove(): Promise<void> {
    await this.supervisor.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}
