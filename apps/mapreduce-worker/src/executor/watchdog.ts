import { Worker } from 'node:worker_threads';

/** How often the watchdog looks whether the daemon is still there. */
const POLL_MS = 250;

/**
 * Runs on a thread of its own, because user code may keep the main thread busy for ever. Plain JavaScript as text: it must load
 * nothing, and needs no file of its own.
 */
const WATCH = `
const { workerData } = require('node:worker_threads');
setInterval(() => {
  if (process.ppid === workerData.daemon) return;
  try { process.kill(-process.pid, 'SIGKILL'); } catch { process.kill(process.pid, 'SIGKILL'); }
}, workerData.pollMs);
`;

/**
 * Kills this process, and whatever it started, as soon as its parent is no longer `daemon`, even if the main thread is in an endless
 * loop.
 */
export function startWatchdog(daemon: number): void {
  const thread = new Worker(WATCH, { eval: true, workerData: { daemon, pollMs: POLL_MS }, env: {}, execArgv: [] });
  thread.unref();
}
