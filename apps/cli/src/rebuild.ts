import { spawn } from 'node:child_process';
import { watch } from 'node:fs';
import path from 'node:path';

/** This file is part of dist/apps/cli/main.js. */
const WORKSPACE = path.resolve(__dirname, '../../..');

/** An editor saves several files at once: a rebuild waits until it is quiet for so long. */
const QUIET_MS = 200;

/**
 * Bundles a service again whenever a source changes, and calls `rebuilt` after each bundle that could be made. One that could not leaves the
 * running processes as they are; esbuild says on stderr what is wrong.
 */
export function rebuildOnChange(service: string, rebuilt: () => Promise<void>): void {
  let timer: NodeJS.Timeout | undefined;
  let building = false;
  const build = async (): Promise<void> => {
    if (building) return changed();
    building = true;
    try {
      if (await bundle(service)) await rebuilt();
    } finally {
      building = false;
    }
  };
  const changed = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => void build(), QUIET_MS);
  };
  for (const folder of [`apps/${service}/src`, 'libs', 'protos']) {
    watch(path.join(WORKSPACE, folder), { recursive: true, persistent: false }, (_, file) => {
      if (file !== null && /\.(ts|proto)$/.test(file) && !file.includes(`${path.sep}gen${path.sep}`)) changed();
    });
  }
}

async function bundle(service: string): Promise<boolean> {
  for (const args of [['tools/contracts/generate.mjs'], ['tools/build/build.mjs', `apps/${service}`]]) {
    const code = await new Promise((resolve) => {
      spawn(process.execPath, args, { cwd: WORKSPACE, stdio: ['ignore', 2, 2] }).on('close', resolve);
    });
    if (code !== 0) return false;
  }
  return true;
}
