import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const WORKSPACE = path.resolve(__dirname, '../../..');

function check(folder: string): { readonly passed: boolean; readonly said: string } {
  const run = spawnSync(process.execPath, [path.join(WORKSPACE, 'tools/contracts/check.mjs'), folder], {
    encoding: 'utf8',
  });
  return { passed: run.status === 0, said: run.stderr };
}

describe('protos', () => {
  it('are well formed, well formatted, and break nothing that the baseline has', () => {
    expect(check(path.join(WORKSPACE, 'protos'))).toEqual({ passed: true, said: '' });
  }, 30_000);

  it.each([
    ['a field with another number', 'bytes range_end = 2;', 'bytes range_end = 20;'],
    ['a method that is gone', '  rpc Put(PutRequest) returns (PutResponse);\n', ''],
    ['a field with another name', 'bool more = 3;', 'bool has_more = 3;'],
  ])(
    'fail the check for %s',
    (_, from, to) => {
      const copy = mkdtempSync(path.join(tmpdir(), 'synod-protos-'));
      try {
        cpSync(path.join(WORKSPACE, 'protos'), copy, { recursive: true });
        const file = path.join(copy, 'etcdserverpb/rpc.proto');
        const text = readFileSync(file, 'utf8');
        expect(text).toContain(from);
        writeFileSync(file, text.replace(from, to));
        const { passed, said } = check(copy);
        expect(passed).toBe(false);
        expect(said).toContain('etcdserverpb/rpc.proto');
        expect(said).toContain('breaking changes failed');
      } finally {
        rmSync(copy, { recursive: true, force: true });
      }
    },
    30_000,
  );
});
