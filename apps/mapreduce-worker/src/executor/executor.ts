import { createRequire } from 'node:module';
import { SynodError } from '@synod/runtime';
import { index, wordcount } from './built-in-programs';
import { FetchFailedError, type ShuffleClient } from './fetch-outputs';
import type { ExecutorReport, Order, ProgramOrder } from './orders';
import type { Program } from './program';
import { runMap } from './run-map';
import { runReduce } from './run-reduce';
import type { SnapshotReader } from './snapshot-reader';
import { userProgram, UserProgramError } from './user-program';

/** Signs of life are not sent more often than that. */
const PROGRESS_MS = 500;

export interface ExecutorPorts {
  readonly report: (report: ExecutorReport) => void;
  readonly shuffle: ShuffleClient;
  /** Made at the first task that reads the store. */
  readonly snapshot: () => SnapshotReader;
}

/** Runs attempts, one at a time, and says how each ended. The only place where user code runs. */
export class Executor {
  private readonly programs = new Map<string, Program>();

  constructor(private readonly ports: ExecutorPorts) {}

  async run(order: Order): Promise<void> {
    this.ports.report(await this.attempt(order));
  }

  private async attempt(order: Order): Promise<ExecutorReport> {
    const { shuffle, snapshot } = this.ports;
    const progress = this.progress();
    try {
      const program = this.program(order.program);
      if (order.kind === 'map') return await runMap(order, { program, snapshot, progress });
      return await runReduce(order, { program, shuffle, progress, pause });
    } catch (error) {
      return failure(error);
    }
  }

  private program(order: ProgramOrder): Program {
    if (order.kind === 'built-in') return order.name === 'wordcount' ? wordcount : index;
    const program = this.programs.get(order.path) ?? userProgram(load(order.path));
    this.programs.set(order.path, program);
    return program;
  }

  private progress(): (records: number) => void {
    let saidMs = 0;
    return (records) => {
      const nowMs = performance.now();
      if (nowMs - saidMs < PROGRESS_MS) return;
      saidMs = nowMs;
      this.ports.report({ kind: 'progress', records });
    };
  }
}

/** @throws {UserProgramError} fatal: it will not load elsewhere either */
function load(path: string): unknown {
  try {
    const module = createRequire(__filename)(path) as { default?: unknown } | null;
    return module !== null && typeof module === 'object' && 'default' in module ? module.default : module;
  } catch (error) {
    const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    throw new UserProgramError(`the program does not load: ${firstLine(reason)}`, true, { cause: error });
  }
}

function failure(error: unknown): ExecutorReport {
  if (error instanceof FetchFailedError) {
    return { kind: 'fetch-failed', sources: error.sources, reason: firstLine(error.message) };
  }
  const fatal = error instanceof UserProgramError && error.fatal;
  const named = error instanceof UserProgramError || error instanceof SynodError;
  const reason = error instanceof Error ? (named ? error.message : `${error.name}: ${error.message}`) : String(error);
  return { kind: 'failed', reason: firstLine(reason), fatal };
}

function firstLine(text: string): string {
  return (text.split('\n', 1)[0] as string).slice(0, 1_000);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
