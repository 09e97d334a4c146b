import type { Disk } from '../disk';

/** What one scenario of the disk suite works on. */
export interface DiskBench {
  /** Over an empty data folder. */
  readonly disk: Disk;
  /**
   * The same data folder after a power cut, as well as the adapter can play one: the simulated disk forgets what was not synced,
   * the real one is merely opened again. Files opened before are gone.
   */
  readonly powerCut: () => Promise<Disk>;
}

/** Runs one scenario over a fresh bench to its end, turning virtual time meanwhile if the adapter lives in it. */
export type RunOnDisk = (scenario: (bench: DiskBench) => Promise<void>) => Promise<void>;

/** The contract of the `Disk` port as a jest suite; each adapter's spec calls it. */
export function describeDisk(name: string, run: RunOnDisk): void {
  const on = (fact: string, scenario: (bench: DiskBench) => Promise<void>): void => it(fact, () => run(scenario));
  describe(`${name} as a Disk`, () => {
    describeFiles(on);
    describeNames(on);
    describeDurability(on);
  });
}

type On = (fact: string, scenario: (bench: DiskBench) => Promise<void>) => void;

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

async function create(disk: Disk, name: string, content: string): Promise<void> {
  const file = await disk.open(name, { create: true });
  await file.write(0, bytes(content));
  await file.sync();
  await file.close();
}

async function contentOf(disk: Disk, name: string): Promise<string> {
  const file = await disk.open(name);
  const content = await file.read(0, await file.size());
  await file.close();
  return content.toString('latin1');
}

function describeFiles(on: On): void {
  on('reads back what was written, shorter only at the end of the file', async ({ disk }) => {
    const file = await disk.open('f', { create: true });
    await file.write(0, bytes('hello world'));
    expect(await file.size()).toBe(11);
    expect(await file.read(6, 5)).toEqual(bytes('world'));
    expect(await file.read(6, 100)).toEqual(bytes('world'));
    expect(await file.read(11, 1)).toEqual(bytes(''));
    expect(await file.read(500, 10)).toEqual(bytes(''));
    expect(await file.read(0, 0)).toEqual(bytes(''));
    await file.close();
  });

  on('writes over what was there and fills a gap with zeros', async ({ disk }) => {
    const file = await disk.open('f', { create: true });
    await file.write(0, bytes('abcdef'));
    await file.write(2, bytes('XY'));
    await file.write(8, bytes('z'));
    await file.write(3, bytes(''));
    expect(await file.read(0, 100)).toEqual(bytes('abXYef\0\0z'));
    await file.close();
  });

  on('keeps writes apart that are in flight together', async ({ disk }) => {
    const file = await disk.open('f', { create: true });
    await Promise.all(Array.from({ length: 16 }, (_, i) => file.write(i * 2, bytes(`${i.toString(16)}.`))));
    expect(await file.read(0, 100)).toEqual(bytes('0.1.2.3.4.5.6.7.8.9.a.b.c.d.e.f.'));
    await file.close();
  });

  on('takes whole mebibytes in one write', async ({ disk }) => {
    const file = await disk.open('f', { create: true });
    const large = Buffer.alloc(3 << 20, 0x5a);
    await file.write(1, large);
    expect(await file.size()).toBe(1 + large.length);
    expect((await file.read(1, large.length)).equals(large)).toBe(true);
    await file.close();
  });

  on('hands out buffers that it does not share', async ({ disk }) => {
    const file = await disk.open('f', { create: true });
    const written = bytes('abc');
    await file.write(0, written);
    written.fill(0);
    const read = await file.read(0, 3);
    read.fill(0);
    expect(await file.read(0, 3)).toEqual(bytes('abc'));
    await file.close();
  });

  on('cuts a file short, and grows it with zeros', async ({ disk }) => {
    const file = await disk.open('f', { create: true });
    await file.write(0, bytes('abcdef'));
    await file.truncate(3);
    expect(await file.size()).toBe(3);
    await file.truncate(5);
    expect(await file.read(0, 100)).toEqual(bytes('abc\0\0'));
    await file.close();
  });

  on('shows one opening of a file what another wrote', async ({ disk }) => {
    const one = await disk.open('f', { create: true });
    const other = await disk.open('f');
    await one.write(0, bytes('abc'));
    expect(await other.read(0, 3)).toEqual(bytes('abc'));
    await one.close();
    await other.write(1, bytes('X'));
    expect(await other.read(0, 3)).toEqual(bytes('aXc'));
    await other.close();
  });

  on('rejects every call on a closed file', async ({ disk }) => {
    const file = await disk.open('f', { create: true });
    await file.close();
    await expect(file.read(0, 1)).rejects.toBeDefined();
    await expect(file.write(0, bytes('x'))).rejects.toBeDefined();
    await expect(file.sync()).rejects.toBeDefined();
    await expect(file.size()).rejects.toBeDefined();
    await expect(file.truncate(0)).rejects.toBeDefined();
  });
}

function describeNames(on: On): void {
  on('creates a file only if asked, and keeps one that is there', async ({ disk }) => {
    await expect(disk.open('f')).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await disk.list('')).toEqual([]);
    await create(disk, 'f', 'kept');
    const file = await disk.open('f', { create: true });
    expect(await file.read(0, 10)).toEqual(bytes('kept'));
    await file.close();
  });

  on('makes folders with their parents, any number of times', async ({ disk }) => {
    await expect(disk.open('a/b/f', { create: true })).rejects.toMatchObject({ code: 'ENOENT' });
    await disk.makeFolder('a/b');
    await disk.makeFolder('a/b');
    await disk.makeFolder('');
    await create(disk, 'a/b/f', 'x');
    expect(await disk.list('a/b')).toEqual(['f']);
    expect(await disk.list('a')).toEqual(['b']);
  });

  on('lists files and folders in byte order, and nothing for a missing folder', async ({ disk }) => {
    // '\u{10000}' sorts before '\uff61' as UTF-16 and after it as bytes.
    for (const name of ['b', '10', 'é', '\u{10000}', '9', 'B', '\uff61']) await create(disk, name, '');
    await disk.makeFolder('a/nested');
    expect(await disk.list('')).toEqual(['10', '9', 'B', 'a', 'b', 'é', '\uff61', '\u{10000}']);
    expect(await disk.list('missing')).toEqual([]);
    expect(await disk.list('a/missing')).toEqual([]);
  });

  on('removes a file once', async ({ disk }) => {
    await create(disk, 'f', 'x');
    await disk.remove('f');
    expect(await disk.list('')).toEqual([]);
    await expect(disk.remove('f')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(disk.open('f')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  on('renames over what was there', async ({ disk }) => {
    await disk.makeFolder('a');
    await create(disk, 'new', 'new');
    await create(disk, 'a/f', 'old');
    await disk.rename('new', 'a/f');
    expect(await disk.list('')).toEqual(['a']);
    expect(await contentOf(disk, 'a/f')).toBe('new');
    await expect(disk.rename('new', 'g')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(disk.rename('a/f', 'missing/f')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  on('keeps to names inside its folder', async ({ disk }) => {
    const refused = { kind: 'invalid-argument' };
    for (const name of [
      '..',
      '../f',
      'a/../../f',
      '/f',
      '/',
      '.',
      './f',
      'a//f',
      'f/',
      'a\\f',
      'a\0f',
      'x'.repeat(256),
    ]) {
      await expect(disk.open(name, { create: true })).rejects.toMatchObject(refused);
      await expect(disk.list(name)).rejects.toMatchObject(refused);
      await expect(disk.makeFolder(name)).rejects.toMatchObject(refused);
      await expect(disk.remove(name)).rejects.toMatchObject(refused);
      await expect(disk.rename('f', name)).rejects.toMatchObject(refused);
      await expect(disk.rename(name, 'f')).rejects.toMatchObject(refused);
      await expect(disk.syncDirectory(name)).rejects.toMatchObject(refused);
    }
    for (const call of [disk.open('', { create: true }), disk.remove(''), disk.rename('f', ''), disk.rename('', 'f')]) {
      await expect(call).rejects.toMatchObject(refused);
    }
    expect(await disk.list('')).toEqual([]);
  });
}

function describeDurability(on: On): void {
  on('finds after a power cut what was synced: contents, creations, renames, removals', async ({ disk, powerCut }) => {
    await disk.makeFolder('a/b');
    await disk.syncDirectory('');
    await disk.syncDirectory('a');
    await create(disk, 'a/b/kept', 'kept');
    await create(disk, 'a/b/before', 'renamed');
    await create(disk, 'a/b/removed', 'removed');
    await disk.syncDirectory('a/b');
    await disk.rename('a/b/before', 'a/b/after');
    await disk.remove('a/b/removed');
    await disk.syncDirectory('a/b');
    const again = await powerCut();
    expect(await again.list('a/b')).toEqual(['after', 'kept']);
    expect(await contentOf(again, 'a/b/kept')).toBe('kept');
    expect(await contentOf(again, 'a/b/after')).toBe('renamed');
  });

  on(
    'keeps synced bytes through a power cut that comes after an unsynced write behind them',
    async ({ disk, powerCut }) => {
      const file = await disk.open('f', { create: true });
      await disk.syncDirectory('');
      await file.write(0, bytes('synced'));
      await file.sync();
      await file.write(6, bytes('maybe'));
      await file.close();
      const again = await powerCut();
      expect((await contentOf(again, 'f')).startsWith('synced')).toBe(true);
    },
  );

  on('keeps what was written through an opening for durable writes, created or not', async ({ disk, powerCut }) => {
    const created = await disk.open('f', { create: true, durable: true });
    await disk.syncDirectory('');
    await created.write(0, bytes('abc'));
    await created.close();
    const opened = await disk.open('f', { durable: true });
    await opened.write(2, bytes('def'));
    expect((await opened.read(0, 10)).toString()).toBe('abdef');
    await opened.close();
    expect(await contentOf(await powerCut(), 'f')).toBe('abdef');
  });

  on('syncs what was cut', async ({ disk, powerCut }) => {
    await create(disk, 'f', 'abcdef');
    await disk.syncDirectory('');
    const file = await disk.open('f');
    await file.truncate(2);
    await file.sync();
    await file.close();
    expect(await contentOf(await powerCut(), 'f')).toBe('ab');
  });

  on('rejects the sync of a missing folder', async ({ disk }) => {
    await expect(disk.syncDirectory('missing')).rejects.toMatchObject({ code: 'ENOENT' });
  });
}
