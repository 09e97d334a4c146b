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

  // One copy for all: each is named, at its place, whatever else is wrong.
  it('fail the check for a field with another number, one with another name, and a method that is gone', () => {
    const copy = mkdtempSync(path.join(tmpdir(), 'synod-protos-'));
    try {
      cpSync(path.join(WORKSPACE, 'protos'), copy, { recursive: true });
      const file = path.join(copy, 'etcdserverpb/rpc.proto');
      let text = readFileSync(file, 'utf8');
      for (const [from, to] of [
        ['bytes range_end = 2;', 'bytes range_end = 20;'],
        ['bool more = 3;', 'bool has_more = 3;'],
        ['  rpc Put(PutRequest) returns (PutResponse);\n', ''],
      ] as const) {
        expect(text).toContain(from);
        text = text.replace(from, to);
      }
      writeFileSync(file, text);
      const { passed, said } = check(copy);
      expect(passed).toBe(false);
      expect(said).toContain('breaking changes failed');
      expect(said).toContain('etcdserverpb/rpc.proto');
      expect(said).toContain('RPC "Put" on service "KV" was deleted');
      expect(said).toContain('field "2" with name "range_end" on message "RangeRequest" was deleted');
      expect(said).toContain('changed name from "more" to "has_more"');
    } finally {
      rmSync(copy, { recursive: true, force: true });
    }
  }, 30_000);
});
