import path from 'node:path';
import { watchNpm, type Supervisor, type SupervisorEvent } from '@synod/launcher';

/** The bundles of the services, next to this one's. */
export const PROGRAMS = path.resolve(__dirname, '..');

/** How long a cluster may take to become healthy. */
const READY_MS = 120_000;

/** Runs processes until `stop` resolves. Stops them in any case, also when they cannot become ready. */
export async function runInForeground(
  supervisor: Supervisor,
  stop: Promise<void>,
  options: { readonly ids?: readonly string[]; readonly onReady: () => void },
): Promise<void> {
  try {
    await supervisor.start(options.ids);
    const ready = supervisor.ready(READY_MS, options.ids).then(() => true);
    if (await Promise.race([ready, stop.then(() => false)])) options.onReady();
    ready.catch(() => undefined);
    await stop;
  } finally {
    await supervisor.stop();
  }
}

/** Resolves when a signal asks to stop, or the npx that started this is gone. */
export function stopRequested(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve());
    watchNpm(resolve);
  });
}

export function reportEvent(event: SupervisorEvent): void {
  if (event.kind === 'restarted') {
    process.stderr.write(`${event.id} was started again (pid ${event.pid})\n`);
    return;
  }
  const words = event.lastWords.trim().split('\n').at(-1) ?? '';
  process.stderr.write(`${event.id} (pid ${event.pid}) died: ${event.cause}${words === '' ? '' : `: ${words}`}\n`);
}
