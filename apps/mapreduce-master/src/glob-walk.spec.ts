import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { findFiles } from './glob-walk';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'synod-glob-'));
  for (const name of ['a/x.md', 'a/y.txt', 'a/b/z.md', 'a/.hidden/q.md', 'top.md', '.dot.md', 'a-b.md']) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), name);
  }
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/a/`), Buffer.from([0xff]), Buffer.from('.md')]), 'raw');
  symlinkSync(path.join(folder, 'top.md'), path.join(folder, 'link.md'));
  symlinkSync(path.join(folder, 'a'), path.join(folder, 'folder-link'));
  symlinkSync(path.join(folder, 'gone'), path.join(folder, 'dangling.md'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function find(pattern: string): Promise<string[]> {
  const { files } = await findFiles(path.join(folder, pattern));
  return files.map(({ document }) => document.toString('latin1'));
}

describe('findFiles', () => {
  it('names documents by their path below the fixed prefix, in byte order', async () => {
    expect(await find('**/*.md')).toEqual(['a-b.md', 'a/b/z.md', 'a/x.md', 'a/\xff.md', 'link.md', 'top.md']);
    expect(await find('a/**/*.md')).toEqual(['b/z.md', 'x.md', '\xff.md']);
    expect(await find('{top,a/*}.{md,txt}')).toEqual(['a/x.md', 'a/y.txt', 'a/\xff.md', 'top.md']);
  });

  it('takes a folder for all files below it, hidden ones too, and a file for itself', async () => {
    expect(await find('a')).toEqual(['.hidden/q.md', 'b/z.md', 'x.md', 'y.txt', '\xff.md']);
    expect(await find('a/')).toEqual(['.hidden/q.md', 'b/z.md', 'x.md', 'y.txt', '\xff.md']);
    expect(await find('a/y.txt')).toEqual(['y.txt']);
  });

  it('follows links to folders only where they are named', async () => {
    expect(await find('folder-link/*.txt')).toEqual(['y.txt']);
    expect(await find('folder-*/*.txt')).toEqual(['folder-link/y.txt']);
  });

  it('knows sizes, of link targets too', async () => {
    const { files } = await findFiles(path.join(folder, '{link,top}.md'));
    expect(files.map(({ size }) => size)).toEqual([6, 6]);
  });
});
