import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DataFolder } from './data-folder';

const self = { service: 'storage-shard', nodeId: 'n1', format: 1 };

describe('DataFolder', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(path.join(tmpdir(), 'synod-data-'))));
  afterEach(() => rmSync(folder, { recursive: true }));

  async function opened(options: Partial<typeof self & { folder: string }> = {}): Promise<DataFolder> {
    const data = await DataFolder.open({ folder, ...self, ...options });
    await data.release();
    return data;
  }

  it('draws an incarnation when it is empty, and keeps it', async () => {
    const first = await opened();
    const second = await opened();
    expect(first.fresh).toBe(true);
    expect(second.fresh).toBe(false);
    expect(second.version).toEqual(first.version);
    expect(first.version.incarnation).toMatch(/^[0-9a-f]{16}$/);
  });

  it.each([
    [{ service: 'consensus' }, /is a data folder of storage-shard, not of consensus; use another --data-dir/],
    [{ nodeId: 'n2' }, /belongs to node n1, not to n2; use another --data-dir or --node-id/],
    [{ format: 2 }, /has format 1, this release reads 2; start the release that wrote it/],
  ])('refuses to be opened as %j, and stays as it was', async (options, message) => {
    await opened();
    const before = readFileSync(path.join(folder, 'VERSION'));
    await expect(opened(options)).rejects.toThrow(message);
    expect(readFileSync(path.join(folder, 'VERSION'))).toEqual(before);
  });

  it('names the process that holds it', async () => {
    const data = await DataFolder.open({ folder, ...self });
    await expect(opened()).rejects.toThrow(new RegExp(`in use by process ${process.pid}`));
    await data.release();
  });

  it('is lent to a reader of any node of its service while its node does not run, and to nobody while it does', async () => {
    const { service, format } = self;
    const borrow = (of = service): Promise<DataFolder> => DataFolder.borrow({ folder, service: of, format });
    await expect(borrow()).rejects.toThrow('has no VERSION: it is not a data folder');
    expect(readdirSync(folder)).toEqual([]);
    const data = await DataFolder.open({ folder, ...self });
    await expect(borrow()).rejects.toThrow(`in use by process ${process.pid}`);
    await data.release();
    await expect(borrow('consensus')).rejects.toThrow('is a data folder of storage-shard, not of consensus');
    const borrowed = await borrow();
    expect(borrowed.version).toEqual(data.version);
    await expect(opened()).rejects.toThrow('in use by');
    await borrowed.release();
    expect(readdirSync(folder)).toEqual(['VERSION']);
  });

  it('takes over the lock of a process that is gone', async () => {
    writeFileSync(path.join(folder, 'LOCK'), '1 not-its-start-time\n');
    expect((await opened()).fresh).toBe(true);
  });

  it('belongs to one cluster for good', async () => {
    const data = await DataFolder.open({ folder, ...self });
    await data.join('c1');
    await expect(data.join('c2')).rejects.toThrow(/belongs to cluster c1, not to c2/);
    await data.release();
    expect((await opened()).version.clusterId).toBe('c1');
  });

  it('makes the folder, with its parents', async () => {
    const data = await DataFolder.open({ ...self, folder: path.join(folder, 'a/b/c') });
    expect(data.folder).toBe(path.join(folder, 'a/b/c'));
    expect(data.fresh).toBe(true);
    await data.release();
  });

  it('names a folder that cannot be made', async () => {
    writeFileSync(path.join(folder, 'file'), '');
    await expect(opened({ folder: path.join(folder, 'file/below') })).rejects.toMatchObject({
      kind: 'failed-precondition',
      message: expect.stringMatching(/file\/below cannot be a data folder: ENOTDIR/) as string,
    });
  });

  it('refuses a folder with files of something else, and a damaged VERSION', async () => {
    writeFileSync(path.join(folder, 'thesis.txt'), 'mine');
    await expect(opened()).rejects.toThrow(/holds files \(thesis.txt …\) but no VERSION/);
    writeFileSync(path.join(folder, 'VERSION'), '{"format":');
    await expect(opened()).rejects.toThrow(/VERSION is damaged/);
  });

  describe('whose contents are set aside', () => {
    const inside = (...parts: string[]): string => path.join(folder, ...parts);

    /** As after some life in a cluster. */
    async function used(): Promise<DataFolder> {
      const data = await DataFolder.open({ folder, ...self });
      await data.join('c1');
      fill();
      return data;
    }

    function fill(): void {
      mkdirSync(inside('wal'));
      writeFileSync(inside('wal', '1.wal'), 'votes');
      mkdirSync(inside('store'));
      writeFileSync(inside('store', 'data.mdb'), 'state');
    }

    it('is another disk of the node, and comes back to its cluster only', async () => {
      const data = await used();
      const { incarnation } = data.version;
      const next = await data.nameNext();
      expect(await data.setAside()).toBe('harmed-1');
      expect(data.version).toEqual({ ...self, incarnation: next, returnsTo: 'c1' });
      expect(readdirSync(folder).sort()).toEqual(['LOCK', 'VERSION', 'harmed-1']);
      expect(readFileSync(inside('harmed-1', 'wal', '1.wal'), 'utf8')).toBe('votes');
      // What lies there is a data folder, under the name that it had.
      const aside = await DataFolder.open({ folder: inside('harmed-1'), ...self });
      expect(aside.version).toEqual({ ...self, incarnation, clusterId: 'c1', nextIncarnation: next });
      await aside.release();
      await expect(data.join('c2')).rejects.toThrow(/is to come back to cluster c1, not to c2/);
      await data.join('c1');
      await data.release();
      expect((await opened()).version).toEqual({ ...self, incarnation: next, clusterId: 'c1' });
    });

    it('keeps the name that it asks by, whatever crashes before it has it', async () => {
      const data = await used();
      const { incarnation } = data.version;
      const next = await data.nameNext();
      expect(next).not.toBe(incarnation);
      await data.release();
      const again = await DataFolder.open({ folder, ...self });
      expect(again.version).toMatchObject({ incarnation, clusterId: 'c1' });
      expect(await again.nameNext()).toBe(next);
      await again.setAside();
      expect(again.version.incarnation).toBe(next);
      expect(await again.nameNext()).not.toBe(next);
      await again.release();
    });

    it('is kept twice, and then refused', async () => {
      const data = await used();
      await data.setAside();
      fill();
      expect(await data.setAside()).toBe('harmed-2');
      fill();
      await expect(data.setAside()).rejects.toThrow(/set aside 2 times already \(harmed-1, harmed-2\)/);
      expect(existsSync(inside('wal', '1.wal'))).toBe(true);
      rmSync(inside('harmed-1'), { recursive: true });
      expect(await data.setAside()).toBe('harmed-1');
      expect(await data.setAsideBefore()).toEqual(['harmed-1', 'harmed-2']);
      await data.release();
    });

    // Invariant `old-disk-or-new-one`: the process died after any of the steps.
    it.each([
      ['before it had its new name', false, []],
      ['before the first file moved', true, []],
      ['between two of them', true, ['wal']],
      ['after the last one', true, ['wal', 'store']],
    ] as const)('is found whole under one name or the other after a crash %s', async (_, renamed, moved) => {
      const data = await used();
      const { version } = data;
      await data.release();
      mkdirSync(inside('harmed-1'));
      writeFileSync(inside('harmed-1', 'VERSION'), JSON.stringify(version));
      const { clusterId: returnsTo, ...rest } = version;
      const next = { ...rest, incarnation: 'new', returnsTo, settingAside: 'harmed-1' };
      if (renamed) writeFileSync(inside('VERSION'), JSON.stringify(next));
      for (const name of moved) renameSync(inside(name), inside('harmed-1', name));
      const found = await opened();
      const held = ['store', 'wal'];
      expect(found.version.incarnation).toBe(renamed ? 'new' : version.incarnation);
      expect(readdirSync(folder).filter((name) => held.includes(name))).toEqual(renamed ? [] : held);
      if (!renamed) return;
      expect(readdirSync(inside('harmed-1')).filter((name) => held.includes(name))).toEqual(held);
      expect((await opened()).version).toEqual({ ...self, incarnation: 'new', returnsTo: 'c1' });
    });
  });
});
