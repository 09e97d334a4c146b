import { readFileSync } from 'node:fs';

const POLL_MS = 500;

/**
 * Calls `gone` when the npm process that started this one (`npx synod …`, `npm run …`) has died, however it died; does nothing if
 * there is none, so that `nohup synod up &` outlives its shell. Polls, because nothing tells a process of its parent's SIGKILL.
 */
export function watchNpm(gone: () => void): void {
  const npm = process.env['npm_command'] === undefined ? undefined : npmAncestor();
  if (npm !== undefined) watchLink(npm.child, npm.pid, gone);
}

/** Calls `gone` when the process that started this one has died. */
export function watchParent(gone: () => void): void {
  watchLink(process.pid, process.ppid, gone);
}

function watchLink(child: number, parent: number, gone: () => void): void {
  const timer = setInterval(() => {
    if (parentOf(child) === parent) return;
    clearInterval(timer);
    gone();
  }, POLL_MS);
  timer.unref();
}

/** The nearest ancestor that is npm or npx, and its child on the way to us: between them there may be a shell. */
function npmAncestor(): { pid: number; child: number } | undefined {
  let child = process.pid;
  for (let pid = process.ppid; pid > 1; pid = parentOf(pid) ?? 0) {
    if (isNpm(commandOf(pid))) return { pid, child };
    child = pid;
  }
  return undefined;
}

/** npm names its process after its command line ("npm exec synod up"); before that it is a script run by Node. */
function isNpm(command: readonly string[]): boolean {
  const [program = '', script = ''] = command;
  return /^np[mx]\b/.test(program) || /\bnp[mx](-cli\.js)?$/.test(script);
}

function commandOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

/** The parent of a process; undefined if the process is gone. */
function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined;
  }
}
