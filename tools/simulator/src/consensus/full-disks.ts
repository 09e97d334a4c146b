import { SynodError } from '@synod/runtime';
import { verdictOf, type Anomaly, type Draws, type World } from '@synod/simulation';
import { memberNumber } from '../../../../apps/consensus/src/member-ids';
import type { SpaceLimits, StorageGauge } from '../../../../apps/consensus/src/space-watch';
import { EtcdError } from '../../../../apps/consensus/src/state/errors';
import { deleteRangeRequest, putRequest } from '../../../../apps/consensus/src/state/requests';
import type { Tally, Workload } from '../workload/workload';
import type { FaultSetting, Machine } from './machine';
import type { MemberClient } from './member-client';

const SECOND_US = 1_000_000;
const KEY = Buffer.from('space');
/** Of data there is any room: what runs out is the disk. */
export const SPACE_LIMITS: SpaceLimits = { quotaBytes: Infinity, reserveBytes: 64 << 20 };
/** Long enough to be noticed, told to all, and waited for. */
const FULL_US = { min: 2 * SECOND_US, max: 4 * SECOND_US };
/** A member looks at its disk twice as often. */
const NOTICED_US = SECOND_US;

/** What the file system of a machine has left. */
export class SimGauge implements StorageGauge {
  private free = Infinity;
  /** Below the reserve since then. */
  fullSince: number | undefined;

  usage(): { readonly fileBytes: number; readonly inUseBytes: number } {
    return { fileBytes: 0, inUseBytes: 0 };
  }

  freeBytes(): Promise<number> {
    return Promise.resolve(this.free);
  }

  fill(now: number, freeBytes: number): void {
    this.free = freeBytes;
    this.fullSince = now;
  }

  empty(): void {
    this.free = Infinity;
    this.fullSince = undefined;
  }
}

/** Disks that run full, and have room again after a while. */
export function fillDisks(world: World, draws: Draws, { leader, machines, withinUs }: FaultSetting): void {
  const endUs = world.now + withinUs;
  for (let count = draws.between(2, 3); count > 0; count--) {
    const startUs = draws.below(withinUs);
    const forUs = draws.between(FULL_US.min, FULL_US.max);
    const freeBytes = draws.below(SPACE_LIMITS.reserveBytes);
    const anyone = draws.pick(machines);
    const prefersLeader = draws.chance(1, 2);
    world.after(startUs, () => {
      const { gauge } = (prefersLeader ? leader() : undefined) ?? anyone;
      if (gauge.fullSince !== undefined || world.now >= endUs) return;
      gauge.fill(world.now, freeBytes);
      world.after(forUs, () => gauge.empty());
    });
  }
}

/**
 * Puts and deletes one key, most of all at members whose disk is full: these admit nothing that adds data (`reserve-is-for-making-room`), and refuse
 * nothing that makes room. An operator disarms the alarm of a member that is no more, which cannot do so itself.
 */
export class Space implements Workload<MemberClient> {
  readonly name = 'space';
  readonly clients = 1;
  private readonly anomalies: Anomaly[] = [];
  private refused = false;

  constructor(
    private readonly context: { readonly world: World; readonly tally: Tally },
    private readonly machines: readonly Machine[],
  ) {}

  async step(host: MemberClient): Promise<void> {
    const { tally, world } = this.context;
    const full = this.machines.find(
      ({ member, gauge }) => member !== undefined && world.now - (gauge.fullSince ?? Infinity) >= NOTICED_US,
    );
    try {
      await this.put(host, full);
      await this.delete(host, full);
      await this.disarm(host);
      tally.acknowledged++;
    } catch (error) {
      if (!(error instanceof EtcdError) && !(error instanceof SynodError)) throw error;
      tally.failed++;
    }
  }

  check() {
    return [{ name: 'reserve-is-for-making-room', verdict: verdictOf(this.anomalies) }];
  }

  private async put(host: MemberClient, full: Machine | undefined): Promise<void> {
    const { probes } = this.context.world;
    const since = full?.gauge.fullSince;
    try {
      await host.call('outcome-unknown', (node) => node.host.put(putRequest(KEY, KEY), 'client'), full);
      if (this.refused) probes.sometimes('space-came-back');
      this.refused = false;
      if (full !== undefined && full.gauge.fullSince === since) this.complain('put-without-space', full);
    } catch (error) {
      if (!(error instanceof EtcdError) || error.code !== 'no-space') throw error;
      this.refused = true;
      probes.sometimes('put-refused-for-space');
    }
  }

  private async delete(host: MemberClient, full: Machine | undefined): Promise<void> {
    try {
      const deletion = deleteRangeRequest(KEY, Buffer.alloc(0));
      await host.call('outcome-unknown', (node) => node.host.deleteRange(deletion, 'client'), full);
      if (this.refused) this.context.world.probes.sometimes('deleted-without-space');
    } catch (error) {
      if (error instanceof EtcdError && error.code === 'no-space') this.complain('deletion-refused', full);
      throw error;
    }
  }

  private async disarm(host: MemberClient): Promise<void> {
    await host.call('unavailable', async (node) => {
      const alarms = await node.host.listAlarms();
      const { clusterId } = node.founding;
      const members = node.members.map(({ replicaId }) => memberNumber(clusterId, replicaId));
      for (const { member, type } of alarms) {
        if (members.includes(member) || type !== 'no-space') continue;
        await node.host.changeAlarm({ action: 'clear', member, type, automatic: false });
      }
    });
  }

  private complain(name: string, at: Machine | undefined): void {
    this.anomalies.push({ name, detail: at?.name ?? 'at no member in particular', operations: [] });
  }
}
