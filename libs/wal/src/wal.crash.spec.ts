import fc from 'fast-check';
import { FaultyDisk, type Survival } from './testing/faulty-disk';
import { Wal } from './index';

/** Appends of one to three records each, as `appendIndex.recordIndex` payloads; several are in flight together. */
function appendsOf(sizes: readonly number[]): string[][] {
  return sizes.map((size, append) =>
    Array.from({ length: 1 + (size % 3) }, (_, i) => `${append}.${i}`.padEnd(1 + size, '_')),
  );
}

interface Run {
  readonly disk: FaultyDisk;
  readonly acknowledged: number;
}

/** Plays appends until the power fails; tells how many were acknowledged by then. */
async function play(
  appends: readonly string[][],
  powerFailsAtByte: number,
  segmentBytes: number,
  wave: number,
): Promise<Run> {
  const disk = new FaultyDisk();
  disk.powerFailsAtByte = powerFailsAtByte;
  let acknowledged = 0;
  try {
    const wal = await Wal.open({ disk, folder: 'wal', segmentBytes, onRecord: () => undefined });
    for (let at = 0; at < appends.length; at += wave) {
      const together = appends.slice(at, at + wave).map(async (texts) => {
        await wal.append(texts.map((text) => ({ kind: 1, group: 'g', payload: Buffer.from(text) })));
        acknowledged += 1;
      });
      await Promise.all(together);
    }
  } catch (error) {
    if (disk.bytesWritten < powerFailsAtByte) throw error;
  }
  return { disk, acknowledged };
}

async function replayOf(disk: FaultyDisk): Promise<string[]> {
  const replayed: string[] = [];
  await Wal.open({ disk, folder: 'wal', onRecord: ({ payload }) => replayed.push(payload.toString()) });
  return replayed;
}

/** Disks that were looked at, with how much was acknowledged by then: what is equal need not be looked at again. */
class Seen {
  private readonly keys = new Set<string>();

  /** @returns whether it is new */
  add(disk: FaultyDisk, acknowledged: number): boolean {
    const files = disk.names().map((name) => `${name} ${disk.contents(name).toString('latin1')}`);
    const key = [acknowledged, ...files].join('\0');
    if (this.keys.has(key)) return false;
    this.keys.add(key);
    return true;
  }
}

/** What survives: a prefix of the appends, all acknowledged ones in it; and again after a second crash in the middle of the start. */
async function expectPrefix(
  appends: readonly string[][],
  { disk, acknowledged }: Run,
  survives: Survival,
  seen = new Seen(),
): Promise<void> {
  const after = disk.afterPowerCut(survives);
  if (!seen.add(after, acknowledged)) return;
  const replayed = await replayOf(after.copy());
  const all = appends.flat();
  expect(replayed).toEqual(all.slice(0, replayed.length));
  expect(replayed.length).toBeGreaterThanOrEqual(appends.slice(0, acknowledged).flat().length);
  after.powerFailsAtByte = 20; // In the header of the segment that the start begins.
  await expect(replayOf(after)).rejects.toThrow('the power is out');
  expect(await replayOf(after.afterPowerCut(() => true))).toEqual(replayed);
}

it('keeps a prefix with everything acknowledged, whichever byte the power fails at', async () => {
  const appends = appendsOf([5, 40, 12, 90, 3, 61, 30]);
  const total = (await play(appends, Infinity, 200, 2)).disk.bytesWritten;
  const seen = new Seen();
  for (let cutAt = 0; cutAt < total; cutAt += 1) {
    const run = await play(appends, cutAt, 200, 2);
    await expectPrefix(appends, run, () => true, seen);
    await expectPrefix(appends, run, () => false, seen);
    await expectPrefix(appends, run, (piece) => piece % 2 === 0, seen);
    await expectPrefix(appends, run, (piece) => piece % 2 === 1, seen);
  }
});

it('keeps a prefix with everything acknowledged, whichever pieces of unsynced writes survive', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(120), { minLength: 1, maxLength: 12 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.integer({ min: 100, max: 600 }),
      fc.integer({ min: 1, max: 5 }),
      fc.infiniteStream(fc.boolean()),
      async (sizes, share, segmentBytes, wave, survival) => {
        const appends = appendsOf(sizes);
        const total = (await play(appends, Infinity, segmentBytes, wave)).disk.bytesWritten;
        const run = await play(appends, Math.floor(share * total), segmentBytes, wave);
        const chosen = new Map<number, boolean>();
        const survives: Survival = (piece) => {
          if (!chosen.has(piece)) chosen.set(piece, survival.next().value as boolean);
          return chosen.get(piece) ?? false;
        };
        await expectPrefix(appends, run, survives);
      },
    ),
    { numRuns: 100 },
  );
});

describe('A start', () => {
  const appends = appendsOf([5, 40, 12, 30]);
  const survivals: Survival[] = [() => true, () => false, (piece) => piece % 2 === 0, (piece) => piece % 2 === 1];

  /** What a crash may leave: the last batch among others or alone in its segment, a segment without any behind it, a torn tail. */
  const crashed: [string, (disk: FaultyDisk) => Promise<void>, number][] = [
    ['a last batch among others', () => Promise.resolve(), 10_000],
    ['a last batch that stands alone', () => Promise.resolve(), 1],
    [
      'a closed log',
      async (disk) => (await Wal.open({ disk, folder: 'wal', onRecord: () => undefined })).close(),
      10_000,
    ],
    [
      'a last segment without a batch',
      async (disk) => void (await Wal.open({ disk, folder: 'wal', onRecord: () => undefined })),
      200,
    ],
    [
      'a torn tail',
      (disk) => {
        const name = disk.names().at(-1) ?? '';
        disk.put(name, Buffer.concat([disk.contents(name), Buffer.from('SBt1 and no more')]));
        return Promise.resolve();
      },
      10_000,
    ],
  ];

  it.each(crashed)('loses nothing that was durable, wherever the power fails: %s', async (_, end, segmentBytes) => {
    const { disk } = await play(appends, Infinity, segmentBytes, 1);
    await end(disk);
    const whole = disk.copy();
    await replayOf(whole);
    for (let failsAt = 0; failsAt <= whole.calls; failsAt += 1) {
      for (const survives of survivals) {
        const start = disk.copy();
        start.powerFailsAtCall = failsAt;
        const isDone = await replayOf(start).then(
          () => true,
          () => false,
        );
        expect(isDone).toBe(failsAt === whole.calls);
        // Again at the same call, of what is there now; then it comes through, twice.
        const next = start.afterPowerCut(survives);
        next.powerFailsAtCall = failsAt;
        await replayOf(next).catch(() => undefined);
        const after = next.afterPowerCut(survives);
        expect(await replayOf(after)).toEqual(appends.flat());
        expect(await replayOf(after.afterPowerCut(() => false))).toEqual(appends.flat());
      }
    }
  });

  // A kernel that has forgotten a failed sync: invariant `written-before-believed`.
  it('believes what only the page cache holds once it has written that itself, wherever the power fails', async () => {
    const written = appendsOf([5, 40]);
    const forgotten = async (): Promise<FaultyDisk> => {
      const disk = new FaultyDisk();
      const wal = await Wal.open({ disk, folder: 'wal', onRecord: () => undefined });
      const append = (texts: readonly string[]): Promise<number> =>
        wal.append(texts.map((text) => ({ kind: 1, group: 'g', payload: Buffer.from(text) })));
      await append(written[0] ?? []);
      disk.failing = { call: 'sync', code: 'EIO' };
      await expect(append(written[1] ?? [])).rejects.toMatchObject({ kind: 'outcome-unknown' });
      disk.failing = undefined;
      return disk;
    };
    const whole = await forgotten();
    const before = whole.calls;
    await replayOf(whole);
    for (let failsAt = before; failsAt <= whole.calls; failsAt += 1) {
      for (const survives of survivals) {
        const disk = await forgotten();
        disk.powerFailsAtCall = failsAt;
        const believed = await replayOf(disk).catch(() => written[0] ?? []);
        const after = disk.afterPowerCut(survives);
        const replayed = await replayOf(after);
        expect(written.flat().slice(0, replayed.length)).toEqual(replayed);
        expect(replayed.length).toBeGreaterThanOrEqual(believed.length);
        expect(await replayOf(after.afterPowerCut(() => false))).toEqual(replayed);
      }
    }
  });
});

describe('Giving up old segments', () => {
  /** Counts up in one group; what the other said once at the beginning must be found for ever. */
  async function count(
    powerFailsAtByte: number,
    copiesForward = true,
  ): Promise<{ disk: FaultyDisk; acknowledged: number }> {
    const disk = new FaultyDisk();
    disk.powerFailsAtByte = powerFailsAtByte;
    let acknowledged = -1;
    const idle = { kind: 1, group: 'idle', payload: Buffer.from('said once') };
    try {
      const wal = await Wal.open({ disk, folder: 'wal', segmentBytes: 200, onRecord: () => undefined });
      await wal.append([idle]);
      for (let number = 0; number < 12; number += 1) {
        await wal.append([{ kind: 1, group: 'busy', payload: Buffer.from(String(number)) }]);
        acknowledged = number;
        if (wal.currentSegment - wal.oldestSegment < 2) continue;
        const copiedTo = await wal.append([
          ...(copiesForward ? [idle] : []),
          { kind: 1, group: 'busy', payload: Buffer.from(String(number)) },
        ]);
        wal.giveUpBefore(copiedTo);
      }
      await wal.close();
    } catch (error) {
      if (disk.bytesWritten < powerFailsAtByte) throw error;
    }
    return { disk, acknowledged };
  }

  async function found(disk: FaultyDisk): Promise<Map<string, string>> {
    const last = new Map<string, string>();
    await Wal.open({ disk, folder: 'wal', onRecord: ({ group, payload }) => last.set(group, payload.toString()) });
    return last;
  }

  it('bounds the folder, and keeps what was copied forward', async () => {
    const { disk } = await count(Infinity);
    expect(disk.names().length).toBeLessThan(6);
    expect(disk.names()[0]).not.toBe('wal/000000000001.wal');
    expect(await found(disk)).toEqual(new Map(Object.entries({ idle: 'said once', busy: '11' })));
    expect((await found((await count(Infinity, false)).disk)).has('idle')).toBe(false);
  });

  it('loses nothing that is needed, wherever the power fails', async () => {
    const total = (await count(Infinity)).disk.bytesWritten;
    const survivals: Survival[] = [() => true, () => false, (piece) => piece % 2 === 0, (piece) => piece % 2 === 1];
    const seen = new Seen();
    for (let cutAt = 0; cutAt < total; cutAt += 3) {
      const { disk, acknowledged } = await count(cutAt);
      if (acknowledged < 0) continue;
      for (const survives of survivals) {
        const after = disk.afterPowerCut(survives);
        if (!seen.add(after, acknowledged)) continue;
        const last = await found(after);
        expect(last.get('idle')).toBe('said once');
        expect(Number(last.get('busy'))).toBeGreaterThanOrEqual(acknowledged);
        expect(await found(after)).toEqual(last); // What a crash left of a truncation is gone, or does no harm.
      }
    }
  });
});

describe('With any one byte harmed', () => {
  const appends = appendsOf([5, 40, 12, 90, 3, 61, 30]);

  async function withByteHarmed(
    disk: FaultyDisk,
    name: string,
    at: number,
    mask: number,
  ): Promise<string[] | 'corrupt'> {
    const harmed = disk.copy();
    const bytes = harmed.contents(name);
    bytes.writeUInt8(bytes.readUInt8(at) ^ mask, at);
    harmed.put(name, bytes);
    try {
      return await replayOf(harmed);
    } catch (error) {
      expect(error).toMatchObject({ kind: 'corrupt', message: expect.stringContaining(name) as string });
      return 'corrupt';
    }
  }

  it('a log that was closed loses nothing silently', async () => {
    const disk = new FaultyDisk();
    const wal = await Wal.open({ disk, folder: 'wal', segmentBytes: 200, onRecord: () => undefined });
    for (const texts of appends)
      await wal.append(texts.map((text) => ({ kind: 1, group: 'g', payload: Buffer.from(text) })));
    await wal.close();
    const closingMarkBytes = 24;
    for (const name of disk.names()) {
      const size = disk.contents(name).length;
      const isLast = name === disk.names().at(-1);
      for (let at = 0; at < size; at += 1) {
        const found = await withByteHarmed(disk, name, at, 1 << (at % 8));
        const inMark = isLast && at >= size - closingMarkBytes;
        expect(found).toEqual(inMark ? appends.flat() : 'corrupt');
      }
    }
  });

  it('a log that was not closed loses at most its last batch, which may be torn', async () => {
    const { disk } = await play(appends, Infinity, 10_000, 1);
    const [name = ''] = disk.names();
    const bytes = disk.contents(name);
    const lastBatch = bytes.lastIndexOf('SBt1');
    for (let at = 0; at < bytes.length; at += 1) {
      const found = await withByteHarmed(disk, name, at, 0xff);
      expect(found).toEqual(at < lastBatch ? 'corrupt' : appends.slice(0, -1).flat());
    }
  });
});
