import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
});
