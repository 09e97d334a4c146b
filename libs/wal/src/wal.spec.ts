import { crc32 } from 'node:zlib';
import type { SynodError } from '@synod/runtime';
import { FaultyDisk } from './testing/faulty-disk';
import { replay, Wal, type WalOptions, type WalRecord } from './index';

function record(text: string, kind = 1, group = 'shard-7'): WalRecord {
  return { kind, group, payload: Buffer.from(text) };
}

/** Opens the log and tells what it replayed, each record as `kind group payload`. */
async function reopen(disk: FaultyDisk, options: Partial<WalOptions> = {}): Promise<{ wal: Wal; replayed: string[] }> {
  const replayed: string[] = [];
  const onRecord: WalOptions['onRecord'] = ({ kind, group, payload }) =>
    replayed.push(`${kind} ${group} ${payload.toString()}`);
  const wal = await Wal.open({ disk, folder: 'wal', onRecord, ...options });
  return { wal, replayed };
}

async function logOf(...texts: readonly string[]): Promise<FaultyDisk> {
  const disk = new FaultyDisk();
  const { wal } = await reopen(disk);
  for (const text of texts) await wal.append([record(text)]);
  await wal.close();
  return disk;
}

const SEGMENT = 'wal/000000000001.wal';

describe('A log', () => {
  it('replays what was appended, in order, over any number of starts', async () => {
    const disk = new FaultyDisk();
    const expected: string[] = [];
    for (let start = 0; start < 4; start += 1) {
      const { wal, replayed } = await reopen(disk);
      expect(replayed).toEqual(expected);
      await wal.append([record(`a${start}`, 0), record('', 255, ''), record('ü', 7, 'gruppe-ü')]);
      await wal.append([record(`b${start}`)]);
      expected.push(`0 shard-7 a${start}`, '255  ', '7 gruppe-ü ü', `1 shard-7 b${start}`);
      await wal.close();
    }
  });

  it('spreads over segments of the size asked, and replays across them', async () => {
    const disk = new FaultyDisk();
    const { wal } = await reopen(disk, { segmentBytes: 300 });
    const texts = Array.from({ length: 20 }, (_, i) => `${i}`.padEnd(70, '.'));
    for (const text of texts) await wal.append([record(text)]);
    await wal.append([record('x'.repeat(1_000))]);
    await wal.append([record('after the large one')]);
    await wal.close();
    expect(disk.names().length).toBeGreaterThan(9);
    for (const name of disk.names()) expect(disk.contents(name).length).toBeLessThan(1_200);
    const { replayed } = await reopen(disk);
    expect(replayed).toHaveLength(22);
    expect(replayed.slice(0, 20)).toEqual(texts.map((text) => `1 shard-7 ${text}`));
  });

  it('reuses a segment that holds nothing, so that a crash loop leaves no trail of files', async () => {
    const disk = await logOf('a');
    const names: string[][] = [];
    for (let start = 0; start < 5; start += 1) {
      await reopen(disk); // Never closed: the process died at once.
      names.push(disk.names());
    }
    // The log that was closed, what it ended with, said again, and the segment to write to.
    expect(names).toEqual(names.map(() => [1, 2, 3].map((number) => `wal/00000000000${number}.wal`)));
    expect((await reopen(disk)).replayed).toEqual(['1 shard-7 a']);
  });

  it('keeps a copy of what it was given', async () => {
    const disk = new FaultyDisk();
    const { wal } = await reopen(disk);
    const payload = Buffer.from('before');
    const appended = wal.append([{ kind: 1, group: 'g', payload }]);
    payload.write('after!');
    await appended;
    await wal.close();
    expect((await reopen(disk)).replayed).toEqual(['1 g before']);
  });

  it('refuses records that do not fit its format, all of the append or none', async () => {
    const disk = new FaultyDisk();
    const { wal } = await reopen(disk);
    for (const bad of [record('x', 256), record('x', -1), record('x', 1.5), record('x', 1, 'g'.repeat(256))]) {
      await expect(wal.append([record('good'), bad])).rejects.toMatchObject({ kind: 'invalid-argument' });
    }
    await wal.append([record('kept')]);
    await wal.close();
    expect((await reopen(disk)).replayed).toEqual(['1 shard-7 kept']);
  });

  it('takes a payload of many mebibytes, and gives its memory back', async () => {
    const disk = new FaultyDisk();
    const { wal } = await reopen(disk);
    const large = 'm'.repeat(9 << 20);
    const appended = wal.append([record(large)]);
    expect(wal.pendingBytes).toBeGreaterThan(9 << 20);
    await appended;
    expect(wal.pendingBytes).toBe(0);
    await wal.close();
    expect((await reopen(disk)).replayed[0]).toHaveLength(large.length + '1 shard-7 '.length);
  });

  it('refuses appends once closed, and closes once', async () => {
    const { wal } = await reopen(new FaultyDisk());
    await Promise.all([wal.close(), wal.close()]);
    await expect(wal.append([record('late')])).rejects.toMatchObject({ kind: 'unavailable' });
  });
});

describe('Group commit', () => {
  it('puts what arrives while a sync is under way into one next write', async () => {
    const disk = new FaultyDisk();
    const { wal } = await reopen(disk);
    const [writes, syncs] = [disk.writes, disk.syncs];
    await Promise.all(Array.from({ length: 100 }, (_, i) => wal.append([record(`${i}`)])));
    expect([disk.writes - writes, disk.syncs - syncs]).toEqual([1, 1]);
    const first = wal.append([record('first')]);
    while (disk.writes === writes + 1) await Promise.resolve();
    await Promise.all([first, ...Array.from({ length: 50 }, (_, i) => wal.append([record(`then ${i}`)]))]);
    expect([disk.writes - writes, disk.syncs - syncs]).toEqual([3, 3]);
  });

  // Invariant `synced-before-acknowledged`.
  it('resolves in the order of the appends, each once a sync has covered it', async () => {
    const disk = new FaultyDisk();
    const { wal } = await reopen(disk);
    const order: number[] = [];
    const appends: Promise<void>[] = [];
    for (let i = 0; i < 60; i += 1) {
      const syncs = disk.syncs;
      const appended = wal.append(i % 5 === 4 ? [] : [record(`${i}`)]).then(() => {
        expect(disk.syncs).toBeGreaterThan(syncs);
        order.push(i);
      });
      appends.push(appended);
      for (let turns = i % 7; turns > 0; turns -= 1) await Promise.resolve();
    }
    await Promise.all(appends);
    expect(order).toEqual(Array.from({ length: 60 }, (_, i) => i));
  });

  it('lets an empty append wait for the earlier ones, and not write', async () => {
    const disk = new FaultyDisk();
    const { wal } = await reopen(disk);
    await wal.append([]);
    const { writes, syncs } = disk;
    let isDurable = false;
    const appended = wal.append([record('a')]).then(() => (isDurable = true));
    await wal.append([]);
    expect(isDurable).toBe(true);
    await appended;
    await wal.append([]);
    expect([disk.writes - writes, disk.syncs - syncs]).toEqual([1, 1]);
  });

  it('closes after what was appended is durable', async () => {
    const disk = new FaultyDisk();
    const { wal } = await reopen(disk);
    void wal.append([record('a')]);
    void wal.append([record('b')]);
    await wal.close();
    expect((await reopen(disk.afterPowerCut(() => false))).replayed).toEqual(['1 shard-7 a', '1 shard-7 b']);
  });
});

describe('A failing disk', () => {
  // Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020: after a failed fsync nothing may be retried.
  it.each([
    ['write', 'ENOSPC'],
    ['sync', 'EIO'],
  ] as const)('poisons the log when a %s fails with %s', async (call, code) => {
    const disk = new FaultyDisk();
    const failures: unknown[] = [];
    const { wal } = await reopen(disk, { onFailure: (error) => failures.push(error) });
    await wal.append([record('before')]);
    disk.failing = { call, code };
    const first = wal.append([record('first')]);
    await Promise.resolve();
    const waiting = [first, wal.append([record('second')]), wal.append([])];
    const failed = { kind: 'outcome-unknown', details: { cause: { code } } };
    for (const append of waiting) await expect(append).rejects.toMatchObject(failed);
    disk.failing = undefined;
    await expect(wal.append([record('later')])).rejects.toMatchObject(failed);
    await expect(wal.append([])).rejects.toMatchObject(failed);
    expect(failures).toMatchObject([failed]);
    await wal.close();
    expect((await reopen(disk.afterPowerCut(() => false))).replayed).toEqual(['1 shard-7 before']);
  });

  it('poisons the log when a new segment cannot be made durable', async () => {
    const disk = new FaultyDisk();
    const { wal } = await reopen(disk, { segmentBytes: 100 });
    await wal.append([record('a'.repeat(100))]);
    disk.failing = { call: 'syncDirectory', code: 'EIO' };
    await expect(wal.append([record('b')])).rejects.toMatchObject({ kind: 'outcome-unknown' });
    expect((await reopen(disk.afterPowerCut(() => false))).replayed).toHaveLength(1);
  });

  // Rebello et al., §3: ext4 and XFS mark the pages of a failed sync clean. Invariant `written-before-believed`.
  it('makes durable at the next start what a failed sync left in the page cache, before anyone acts on it', async () => {
    const disk = new FaultyDisk();
    const { wal } = await reopen(disk);
    await wal.append([record('before')]);
    disk.failing = { call: 'sync', code: 'EIO' };
    await expect(wal.append([record('in the cache')])).rejects.toMatchObject({ kind: 'outcome-unknown' });
    disk.failing = undefined;
    expect((await reopen(disk.afterPowerCut(() => true))).replayed).toEqual(['1 shard-7 before']);
    // The process is gone and starts anew, the machine stays: it finds the batch, and may act on it.
    const both = ['1 shard-7 before', '1 shard-7 in the cache'];
    expect((await reopen(disk)).replayed).toEqual(both);
    for (const survives of [true, false]) {
      expect((await reopen(disk.afterPowerCut(() => survives))).replayed).toEqual(both);
    }
  });

  it('leaves a log that a release without overlaps reads, whatever the last batch was', async () => {
    const ends = [[], ['a'], ['a', 'b'], ['a', 'b'.repeat(200)], ['a', 'b', 'c'.repeat(100)]];
    for (const texts of ends) {
      const disk = new FaultyDisk();
      const { wal } = await reopen(disk, { segmentBytes: 150 });
      for (const text of texts) await wal.append([record(text)]);
      for (let start = 0; start < 3; start += 1) await reopen(disk);
      const read: string[] = [];
      const end = await replay({ disk, folder: 'wal', onRecord: ({ payload }) => read.push(payload.toString()) });
      expect([read, end.overlaps]).toEqual([texts, []]);
    }
  });

  describe('that a crash left between the copy of its last batch and the end of a start', () => {
    /** A log of a process that died. */
    async function leftOf(...texts: readonly string[]): Promise<FaultyDisk> {
      const disk = new FaultyDisk();
      const { wal } = await reopen(disk);
      for (const text of texts) await wal.append([record(text)]);
      return disk;
    }

    /** Batches a, b, c in one segment, and the copy of c in the next. */
    async function overlapping(): Promise<FaultyDisk> {
      const disk = await leftOf('a', 'b', 'c');
      const old = disk.contents(SEGMENT);
      await reopen(disk);
      disk.put(SEGMENT, old);
      disk.delete('wal/000000000003.wal');
      return disk;
    }
    const all = ['1 shard-7 a', '1 shard-7 b', '1 shard-7 c'];

    it('reads on as if nothing had been', async () => {
      const disk = await overlapping();
      for (let start = 0; start < 3; start += 1) expect((await reopen(disk)).replayed).toEqual(all);
    });

    it('is refused when the copy has rotted since: it had no name before it was durable', async () => {
      const size = (await overlapping()).contents('wal/000000000002.wal').length;
      for (let offset = 0; offset < size; offset += 1) {
        const disk = await overlapping();
        const bytes = Buffer.from(disk.contents('wal/000000000002.wal'));
        bytes[offset] = ~bytes[offset]! & 0xff;
        disk.put('wal/000000000002.wal', bytes);
        const outcome = await reopen(disk).catch((error: unknown) => error);
        if (outcome instanceof Error)
          expect(['corrupt', 'failed-precondition']).toContain((outcome as SynodError).kind);
        else expect(outcome).toMatchObject({ replayed: all });
      }
    });

    it('is refused when the old segment holds more than that batch, or another one', async () => {
      const disk = await overlapping();
      const longer = await leftOf('a', 'b', 'c', 'd');
      disk.put(SEGMENT, longer.contents(SEGMENT));
      await expect(reopen(disk)).rejects.toMatchObject({ kind: 'corrupt' });
      disk.put(SEGMENT, (await leftOf('a', 'b', 'C')).contents(SEGMENT));
      await expect(reopen(disk)).rejects.toMatchObject({ kind: 'corrupt' });
    });
  });

  it('refuses to open where nothing can be written', async () => {
    const disk = new FaultyDisk();
    disk.failing = { call: 'write', code: 'ENOSPC' };
    await expect(reopen(disk)).rejects.toMatchObject({ code: 'ENOSPC' });
  });
});

describe('What another release wrote', () => {
  it('names the record kind it does not know, and the release to start', async () => {
    const disk = new FaultyDisk();
    const { wal } = await reopen(disk, { release: '0.9.1' });
    await wal.append([record('x', 1), record('y', 42, 'shard-3')]);
    await wal.close();
    const opened = reopen(disk, { release: '0.1.0', knownKinds: [1, 2, 3] });
    await expect(opened).rejects.toMatchObject({
      kind: 'failed-precondition',
      message: expect.stringMatching(
        /000000000001\.wal.*record kind 42 \(group shard-3\).*Synod 0\.9\.1 or later/s,
      ) as string,
    });
    expect((await reopen(disk, { knownKinds: [1, 42] })).replayed).toHaveLength(2);
  });

  it('names the format it does not know, and the release to start', async () => {
    const disk = await logOf('a');
    const bytes = disk.contents(SEGMENT);
    bytes.writeUInt16BE(2, 12);
    bytes.write('3.0.0', 32);
    bytes.writeUInt32BE(crc32(bytes.subarray(12, 64)), 8);
    disk.put(SEGMENT, bytes);
    await expect(reopen(disk)).rejects.toMatchObject({
      kind: 'failed-precondition',
      message: expect.stringMatching(/format 2 and this release reads 1: start Synod 3\.0\.0 or later/) as string,
    });
  });
});

describe('Segments that are not all there', () => {
  async function threeSegments(): Promise<FaultyDisk> {
    const disk = new FaultyDisk();
    const { wal } = await reopen(disk, { segmentBytes: 100 });
    for (const text of ['a', 'b', 'c']) await wal.append([record(text.repeat(80))]);
    await wal.close();
    return disk;
  }

  it('refuses to start without a middle one, naming it', async () => {
    const disk = await threeSegments();
    disk.delete('wal/000000000002.wal');
    await expect(reopen(disk)).rejects.toMatchObject({
      kind: 'corrupt',
      message: expect.stringContaining('000000000002.wal') as string,
    });
  });

  it('refuses to start without the oldest one that is needed', async () => {
    const disk = await threeSegments();
    disk.delete(SEGMENT);
    await expect(reopen(disk)).rejects.toMatchObject({ kind: 'corrupt' });
  });

  it('refuses to start when what was given up is all that is left', async () => {
    const disk = new FaultyDisk();
    const { wal } = await reopen(disk, { segmentBytes: 100 });
    for (const text of ['a', 'b']) await wal.append([record(text.repeat(80))]);
    wal.giveUpBefore(2);
    const before = disk.copy();
    await wal.append([record('c'.repeat(80))]);
    await wal.close(); // Its mark goes into a segment of its own.
    expect(disk.names()).toEqual([2, 3, 4].map((number) => `wal/00000000000${number}.wal`));
    expect((await reopen(before)).replayed).toHaveLength(2);
    disk.delete('wal/000000000002.wal');
    await expect(reopen(disk)).rejects.toMatchObject({
      kind: 'corrupt',
      message: expect.stringContaining('segments from 2 on are needed, and the oldest here is 3') as string,
    });
  });

  it('deletes what is given up although nothing more is appended', async () => {
    const disk = new FaultyDisk();
    const { wal } = await reopen(disk, { segmentBytes: 100 });
    for (const text of ['a', 'b', 'c']) await wal.append([record(text.repeat(80))]);
    wal.giveUpBefore(3);
    await wal.close();
    expect(disk.names()).toEqual(['wal/000000000003.wal', 'wal/000000000004.wal']);
    expect((await reopen(disk)).replayed).toHaveLength(1);
  });

  it('says in which segment a record is, when it is appended and when it is replayed', async () => {
    const disk = new FaultyDisk();
    const { wal } = await reopen(disk, { segmentBytes: 100 });
    const appended: number[] = [];
    for (const text of ['a', 'b', 'c']) appended.push(await wal.append([record(text.repeat(80))]));
    await wal.close();
    const replayed: number[] = [];
    await reopen(disk, { onRecord: (_record, segment) => replayed.push(segment) });
    expect([appended, replayed]).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
  });

  it('refuses to start when an earlier one lost its tail, even at a batch boundary', async () => {
    const disk = await threeSegments();
    disk.put('wal/000000000002.wal', disk.contents('wal/000000000002.wal').subarray(0, 64));
    await expect(reopen(disk)).rejects.toMatchObject({ kind: 'corrupt' });
  });

  it('refuses to start when one stands in for another', async () => {
    const disk = await threeSegments();
    disk.put('wal/000000000002.wal', disk.contents(SEGMENT));
    await expect(reopen(disk)).rejects.toMatchObject({ kind: 'corrupt' });
  });

  it('leaves files of other names alone', async () => {
    const disk = await threeSegments();
    disk.put('wal/notes.txt', Buffer.from('mine'));
    expect((await reopen(disk)).replayed).toHaveLength(3);
    expect(disk.contents('wal/notes.txt')).toEqual(Buffer.from('mine'));
  });
});

// Invariant `torn-is-not-rotten`.
describe('A torn tail', () => {
  it('is cut even if its payload holds a copy of a valid log', async () => {
    const inner = (await logOf('a', 'b')).contents(SEGMENT);
    const disk = new FaultyDisk();
    const { wal } = await reopen(disk);
    await wal.append([record('kept')]);
    const before = disk.contents(SEGMENT).length;
    await wal.append([{ kind: 1, group: 'g', payload: inner }]);
    const torn = disk.contents(SEGMENT);
    torn.writeUInt8(torn.readUInt8(before + 4) ^ 1, before + 4);
    disk.put(SEGMENT, torn);
    expect((await reopen(disk)).replayed).toEqual(['1 shard-7 kept']);
  });

  it('is told from rot by the batch that follows, which the error points at', async () => {
    const disk = await logOf('first', 'second', 'third');
    const bytes = disk.contents(SEGMENT);
    const at = bytes.indexOf('second');
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    disk.put(SEGMENT, bytes);
    const offset = bytes.lastIndexOf('SBt1', at);
    await expect(reopen(disk)).rejects.toMatchObject({
      kind: 'corrupt',
      message: expect.stringContaining(`${SEGMENT} is corrupt at offset ${offset}`) as string,
    });
    expect(disk.contents(SEGMENT)).toEqual(bytes); // Left as it was, for whoever looks into it.
  });

  it('is found once: the next start knows that everything before was synced', async () => {
    const disk = new FaultyDisk();
    const { wal } = await reopen(disk);
    await wal.append([record('kept')]);
    const whole = disk.contents(SEGMENT);
    await reopen(disk);
    disk.put(SEGMENT, whole.subarray(0, whole.length - 1));
    await expect(reopen(disk)).rejects.toMatchObject({ kind: 'corrupt' });
  });
});
