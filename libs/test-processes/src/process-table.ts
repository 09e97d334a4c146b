import { readdirSync, readFileSync } from 'node:fs';
import { eventually } from '@synod/eventually';

/** A process as it was seen: its pid may be given to another later. */
export interface Seen {
  readonly pid: number;
  readonly startTime: string;
}

export function seen(pid: number): Seen {
  return { pid, startTime: statOf(pid)?.startTime ?? '' };
}

/** Everything that a process has started, and what that has started. */
export function descendantsOf(pid: number): Seen[] {
  const children = allPids().filter((each) => statOf(each)?.parent === pid);
  return children.flatMap((child) => [seen(child), ...descendantsOf(child)]);
}

export function isAlive({ pid, startTime }: Seen): boolean {
  const stat = statOf(pid);
  return stat !== undefined && stat.startTime === startTime && stat.state !== 'Z';
}

/** @returns how long it took for all to be gone */
export async function msUntilGone(processes: readonly Seen[]): Promise<number> {
  const since = performance.now();
  await eventually('every process to be gone', () => !processes.some(isAlive));
  return performance.now() - since;
}

/** The processes whose command line names something. */
export function processesNaming(text: string): number[] {
  return allPids().filter((pid) => commandOf(pid).includes(text));
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return ''; // As that of a zombie.
  }
}

function allPids(): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0);
}

function statOf(pid: number): { state: string; parent: number; startTime: string } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', parent: Number(fields[1]), startTime: fields[19] ?? '' };
  } catch {
    return undefined;
  }
}
