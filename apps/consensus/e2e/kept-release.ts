import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';

const TESTDATA = path.join(__dirname, '../testdata');
const DIST = path.join(__dirname, '../../../dist');

/** The program of an earlier build, unpacked where it finds the packages that it needs. */
export interface KeptRelease {
  readonly program: string;
  remove(): void;
}

export function unpackRelease(name: string): KeptRelease {
  mkdirSync(DIST, { recursive: true });
  const folder = mkdtempSync(path.join(DIST, `${name}-`));
  const program = path.join(folder, 'main.js');
  writeFileSync(program, gunzipSync(readFileSync(path.join(TESTDATA, `${name}.js.gz`))));
  return { program, remove: () => rmSync(folder, { recursive: true }) };
}
