import path from 'node:path';
import { isatty } from 'node:tty';
import type { Service } from '@synod/coordination';
import { watchNpm, type Supervisor, type SupervisorEvent } from '@synod/launcher';
import { endOfOutput } from './failure';

/** The bundles of the services, next to this one's. */
export const PROGRAMS = path.resolve(__dirname, '..');

/** The lock on a cluster's folder for the processes of one service. */
export function serviceLock(service: Service): string {
  return `${service}.lock`;
}

/** Runs processes until `stop` resolves. Stops them in any case, also when they cannot become ready. */
export async function runInForeground(
  supervisor: Supervisor,
  stop: Promise<void>,
  options: {
    readonly ids?: readonly string[];
    /** How long they may take to become ready. */
    readonly readyMs: number;
    readonly onReady: () => void;
  },
): Promise<void> {
  try {
    await supervisor.start(options.ids);
    const ready = supervisor.ready(options.readyMs, options.ids).then(() => true);
    if (await Promise.race([ready, stop.then(() => false)])) options.onReady();
    ready.catch(() => undefined);
    await stop;
  } finally {
    await supervisor.stop();
  }
}

/** npm and its shell may notice a hangup that much before or after us. */
const HANGUP_MS = 2_000;

/** Resolves when a signal asks to stop, or the npx that started this is gone. */
export function stopRequested(): Promise<void> {
  return new Promise((resolve) => {
    let hungUpAtMs = -Infinity;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve());
    process.on('SIGHUP', () => {
      if (outlivesTerminal()) hungUpAtMs = performance.now();
      else resolve();
    });
    // A terminal or reader that is gone must not end the cluster, only its reports.
    process.stdout.off('error', endOfOutput);
    for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
    // A hangup that we were told to ignore takes npm along, which Node does not let ignore it.
    watchNpm(() => {
      if (performance.now() - hungUpAtMs > HANGUP_MS) resolve();
    });
  });
}

/**
 * Whether this runs under `nohup`, or otherwise without a terminal. Node restores the default of an ignored SIGHUP, so that nohup shows only
 * in what else it does: standard input is no terminal any more; and in the shell's `_`, where it leaves that.
 */
function outlivesTerminal(): boolean {
  return !isatty(0) || path.basename(process.env['_'] ?? '') === 'nohup';
}

export function reportEvent(event: SupervisorEvent): void {
  if (event.kind === 'restarted') {
    process.stderr.write(`${event.id} was started again (pid ${event.pid})\n`);
    return;
  }
  const { id, pid, cause, complaint } = event;
  process.stderr.write(`${id} (pid ${pid}) died: ${cause}${complaint === undefined ? '' : `: ${complaint}`}\n`);
}
