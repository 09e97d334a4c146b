import type { Disk, DiskFile } from '@synod/runtime';
import { SECTOR_BYTES, type SimFile } from './sim-file';
import type { CrashKind, NodePorts, SimNode } from './sim-node';
import { World } from './world';

// Virtual time is bounded where it matters; a busy machine may take its own.
jest.setTimeout(60_000);

const SEEDS = Array.from({ length: 200 }, (_, seed) => seed);

interface Machine {
  readonly world: World;
  readonly node: SimNode<NodePorts>;
}

async function machine(seed: number): Promise<Machine> {
  const world = new World({ seed });
  const node = world.addNode<NodePorts>('n', (ports) => ports);
  node.start();
  await world.run(() => node.host !== undefined);
  return { world, node };
}

/** Runs one port call, or several in a row, to its end. */
async function doing<T>({ world, node }: Machine, work: (ports: NodePorts) => Promise<T>): Promise<T> {
  let settled: { readonly value: T } | undefined;
  const { host } = node;
  if (host === undefined) throw new Error('the node is down');
  world.after(0, () => void work(host).then((value) => (settled = { value })));
  await world.run(() => settled !== undefined);
  return (settled as { readonly value: T }).value;
}

async function crash(machine: Machine, kind: CrashKind): Promise<void> {
  machine.node.kill(kind);
  machine.node.start();
  await machine.world.run(() => machine.node.host !== undefined);
}

async function openLog(disk: Disk): Promise<DiskFile> {
  const file = await disk.open('log', { create: true });
  await disk.syncDirectory('');
  return file;
}

async function contentOf(disk: Disk): Promise<Buffer> {
  const file = await disk.open('log');
  return file.read(0, await file.size());
}

const OLD = Buffer.alloc(3 * SECTOR_BYTES + 100, 0x11);
const NEW = Buffer.alloc(4 * SECTOR_BYTES, 0x22);

describe('what a crash leaves of a file', () => {
  it('is everything written, if only the process dies', async () => {
    for (const seed of SEEDS.slice(0, 20)) {
      const m = await machine(seed);
      await doing(m, async ({ disk }) => (await openLog(disk)).write(0, NEW));
      await crash(m, 'process');
      expect(await doing(m, ({ disk }) => contentOf(disk))).toEqual(NEW);
    }
  });

  it('is everything synced and any part of the rest, if the power fails: kept, lost, torn, garbled, longer with zeros', async () => {
    const seen = new Set<string>();
    for (const seed of SEEDS) {
      const m = await machine(seed);
      await doing(m, async ({ disk }) => {
        const file = await openLog(disk);
        await file.write(0, OLD);
        await file.sync();
        await file.write(OLD.length, NEW);
      });
      await crash(m, 'power');
      const left = await doing(m, ({ disk }) => contentOf(disk));
      expect(left.subarray(0, OLD.length).equals(OLD)).toBe(true);
      const tail = left.subarray(OLD.length);
      expect(tail.length).toBeLessThanOrEqual(NEW.length);
      if (tail.equals(NEW)) seen.add('kept');
      else if (tail.length === 0) seen.add('lost');
      else if (tail.every((byte) => byte === 0x22)) seen.add('torn');
      else if (tail.some((byte) => byte !== 0 && byte !== 0x22)) seen.add('garbled');
      // A later sector arrived, an earlier one did not.
      if (tail.indexOf(0) >= 0 && tail.lastIndexOf(0x22) > tail.indexOf(0) + SECTOR_BYTES) seen.add('hole');
      if (tail.at(-1) === 0) seen.add('zeros at the end');
    }
    expect([...seen].sort()).toEqual(['garbled', 'hole', 'kept', 'lost', 'torn', 'zeros at the end']);
  });

  it('does not cover by a sync what was written after the sync began', async () => {
    let lost = 0;
    for (const seed of SEEDS.slice(0, 60)) {
      const m = await machine(seed);
      await doing(m, async ({ disk }) => {
        const file = await openLog(disk);
        const synced = file.sync();
        await file.write(0, NEW);
        await synced;
      });
      await crash(m, 'power');
      if (!(await doing(m, ({ disk }) => contentOf(disk))).equals(NEW)) lost++;
    }
    expect(lost).toBeGreaterThan(10);
  });

  it('may miss the file itself, if its folder was not synced', async () => {
    const left = new Set<string>();
    for (const seed of SEEDS.slice(0, 60)) {
      const m = await machine(seed);
      await doing(m, async ({ disk }) => {
        const file = await disk.open('log', { create: true });
        await file.write(0, NEW);
        await file.sync();
      });
      await crash(m, 'power');
      left.add((await doing(m, ({ disk }) => disk.list(''))).join());
    }
    expect(left).toEqual(new Set(['', 'log']));
  });

  it('has a renamed file under exactly one of its names', async () => {
    const left = new Set<string>();
    for (const seed of SEEDS.slice(0, 60)) {
      const m = await machine(seed);
      await doing(m, async ({ disk }) => {
        await openLog(disk);
        await disk.rename('log', 'archive');
      });
      await crash(m, 'power');
      left.add((await doing(m, ({ disk }) => disk.list(''))).join());
    }
    expect(left).toEqual(new Set(['log', 'archive']));
  });

  it('includes or excludes calls that were under way when the process died', async () => {
    const left = new Set<number>();
    for (const seed of SEEDS.slice(0, 40)) {
      const m = await machine(seed);
      const file = await doing(m, ({ disk }) => openLog(disk));
      void file.write(0, NEW);
      await crash(m, 'process');
      left.add((await doing(m, ({ disk }) => contentOf(disk))).length);
      // No zombie: what was not done when the process died is never done.
      const before = await doing(m, ({ disk }) => contentOf(disk));
      await m.world.run(m.world.now + 1_000_000);
      expect(await doing(m, ({ disk }) => contentOf(disk))).toEqual(before);
    }
    expect(left).toEqual(new Set([0, NEW.length]));
  });
});

describe('what a crash leaves of a store', () => {
  const key = Buffer.from('count');

  /** 30 commits with a flush in the midst, another perhaps under way; then the crash: the last commit found again. */
  async function survivors(kind: CrashKind): Promise<number[]> {
    const found: number[] = [];
    for (const seed of SEEDS) {
      const m = await machine(seed);
      const commit = (ports: NodePorts, count: number): void =>
        ports.store.transaction((tx) => tx.put(key, Buffer.from([count])));
      await doing(m, async (ports) => {
        for (let count = 1; count <= 10; count++) commit(ports, count);
        await ports.store.flush();
        for (let count = 11; count <= 30; count++) commit(ports, count);
        if (seed % 2 === 0) void ports.store.flush();
      });
      await crash(m, kind);
      found.push(await doing(m, async ({ store }) => (await Promise.resolve(store.get(key)))?.[0] ?? 0));
    }
    return found;
  }

  it('is some commit not before the last flush, if the power fails', async () => {
    const found = await survivors('power');
    expect(Math.min(...found)).toBe(10);
    expect(Math.max(...found)).toBe(30);
    expect(found.some((count) => count > 10 && count < 30)).toBe(true);
  });

  it('is mostly the last commit, if only the process dies', async () => {
    const found = await survivors('process');
    expect(found.filter((count) => count === 30).length).toBeGreaterThan(found.length / 2);
    expect(Math.min(...found)).toBe(10);
  });
});

describe('a killed process', () => {
  it('runs nothing any more: timers, promises, port calls', async () => {
    const world = new World({ seed: 1 });
    const late: string[] = [];
    const node = world.addNode('n', (ports, incarnation) => {
      ports.timers.after(1_000, () => late.push(`timer of ${incarnation}`));
      void ports.disk.open('f', { create: true }).then(() => late.push(`promise of ${incarnation}`));
      return {};
    });
    node.start();
    world.after(0, () => node.kill('process'));
    await world.run(10_000);
    expect(late).toEqual([]);
    node.start();
    await world.run(20_000);
    expect(late.sort()).toEqual(['promise of 2', 'timer of 2']);
  });

  it('does no harm in the turn in which it is killed', async () => {
    const world = new World({ seed: 1 });
    const node = world.addNode('n', async (ports) => {
      node.kill('process');
      await Promise.resolve();
      ports.store.transaction((tx) => tx.put(Buffer.from('k'), Buffer.from('v')));
    });
    node.start();
    await world.run(1_000);
    expect(node.state).toBe('down');
  });
});

describe('a pause', () => {
  it('stops a process while its clock runs, and then everything overdue happens at once', async () => {
    const world = new World({ seed: 1 });
    const ticks: { at: number; monotonicUs: number }[] = [];
    const node = world.addNode('n', (ports) => {
      for (const delayUs of [1_000, 2_000, 3_000]) {
        ports.timers.after(delayUs, () => ticks.push({ at: world.now, monotonicUs: ports.clock.monotonicUs() }));
      }
      return ports;
    });
    node.start();
    await world.run(500);
    const before = node.clock.monotonicUs();
    node.pause();
    await world.run(1_000_000);
    expect([ticks, node.state]).toEqual([[], 'paused']);
    node.resume();
    await world.run(1_000_001);
    expect(ticks.map(({ at }) => at)).toEqual([1_000_000, 1_000_000, 1_000_000]);
    expect(ticks[0]?.monotonicUs).toBe(before + 999_500);
  });
});

describe('a sync that fails', () => {
  // Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020, §3.
  it('mostly leaves in the page cache what no later sync writes, and what is written again is written', async () => {
    const left = { forgotten: 0, kept: 0 };
    for (const seed of SEEDS.slice(0, 60)) {
      const on = await machine(seed);
      let isForgotten = false;
      await doing(on, async ({ disk }) => {
        const file = await openLog(disk);
        await file.write(0, OLD);
        await file.sync();
        on.node.disk.failNext('sync', 'EIO', (isSo) => (isForgotten = isSo));
        await file.write(OLD.length, NEW);
        await expect(file.sync()).rejects.toMatchObject({ code: 'EIO' });
      });
      await crash(on, 'process');
      const whole = Buffer.concat([OLD, NEW]);
      await doing(on, async ({ disk }) => {
        const file = await disk.open('log');
        expect((await contentOf(disk)).equals(whole)).toBe(true);
        await file.sync();
        if (seed % 2 === 0) return;
        await file.write(OLD.length, NEW);
        await file.sync();
      });
      await crash(on, 'power');
      const found = await doing(on, ({ disk }) => contentOf(disk));
      expect(found.subarray(0, OLD.length).equals(OLD)).toBe(true);
      if (seed % 2 === 1 || !isForgotten) expect(found.equals(whole)).toBe(true);
      else left[found.equals(whole) ? 'kept' : 'forgotten']++;
    }
    expect(left.forgotten).toBeGreaterThan(left.kept);
    expect(left.forgotten).toBeGreaterThan(10);
  });
});

describe('a disk that is harmed', () => {
  it('loses everything with its place in the machine', async () => {
    const on = await machine(1);
    await doing(on, async ({ disk, store }) => {
      await (await openLog(disk)).sync();
      store.transaction((transaction) => transaction.put(Buffer.from('k'), Buffer.from('v')));
      await store.flush();
    });
    on.node.kill('process');
    on.node.replaceDisk();
    on.node.start();
    await on.world.run(() => on.node.host !== undefined);
    expect(await doing(on, ({ disk }) => disk.list(''))).toEqual([]);
    expect(on.node.store.view().get(Buffer.from('k'))).toBeUndefined();
  });

  it('rots where it was synced, and stays so', async () => {
    const on = await machine(2);
    await doing(on, async ({ disk }) => {
      const file = await openLog(disk);
      await file.write(0, Buffer.from('abc'));
      await file.sync();
    });
    const [file] = on.node.disk.folders.root.seen.values();
    (file as SimFile).rot(1);
    await crash(on, 'power');
    expect(await doing(on, ({ disk }) => contentOf(disk))).toEqual(Buffer.from('a7c'));
  });
});
