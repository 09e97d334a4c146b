import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { planSplits } from '@synod/mapreduce';
import type { ShuffleClient } from './fetch-outputs';
import type { ExecutorReport } from './orders';
import type { Program } from './program';
import { runMap } from './run-map';
import { runReduce } from './run-reduce';

export interface LocalJob {
  readonly program: Program;
  readonly documents: Readonly<Record<string, Uint8Array | string>>;
  readonly splitBytes: number;
  readonly partitions: number;
  /** Small values make maps spill. */
  readonly sortBufferBytes?: number;
  /** Stands between reducers and run files. */
  readonly shuffle?: (real: ShuffleClient) => ShuffleClient;
}

/** A map output as the shuffle serves it. */
interface HeldRun {
  readonly file: string;
  readonly offsets: readonly number[];
}

/**
 * Double for a cluster: runs the map and reduce tasks of a job one after the other in this process, over real files.
 * @returns the parts, and the counters of all tasks
 */
export async function runLocally(job: LocalJob): Promise<{ parts: Buffer[]; counters: Record<string, number> }> {
  const folder = mkdtempSync(path.join(tmpdir(), 'synod-mapreduce-'));
  try {
    const names = Object.keys(job.documents);
    const contents = names.map((name) => Buffer.from(job.documents[name] as Uint8Array));
    names.forEach((name, at) => writeFileSync(path.join(folder, name), contents[at] as Buffer));
    mkdirSync(path.join(folder, 'staging'));
    const counters: Record<string, number> = {};
    const count = (report: ExecutorReport & { counters: Readonly<Record<string, number>> }): void => {
      for (const [name, value] of Object.entries(report.counters)) counters[name] = (counters[name] ?? 0) + value;
    };
    const runs = new Map<string, HeldRun>();
    const splits = planSplits(
      contents.map(({ length }) => length),
      job.splitBytes,
    );
    for (const [at, split] of splits.entries()) {
      const attempt = `local-m${at}`;
      const file = path.join(folder, `${attempt}.run`);
      const ranges = split.map(({ document, start, end }) => ({
        document: Buffer.from(names[document] as string),
        start,
        end,
      }));
      const report = await runMap(
        {
          kind: 'map',
          attempt,
          program: { kind: 'built-in', name: 'wordcount' },
          partitions: job.partitions,
          split: { kind: 'files', folder: Buffer.from(`${folder}/`), ranges },
          runFile: file,
        },
        { program: job.program, snapshot: noSnapshot, progress: () => undefined, ...sortBuffer(job) },
      );
      if (report.kind !== 'map-finished') throw new Error(`the map ended with ${report.kind}`);
      count(report);
      runs.set(attempt, { file, offsets: report.offsets });
    }
    const shuffle = (job.shuffle ?? ((real) => real))(shuffleOf(runs));
    const parts: Buffer[] = [];
    for (let partition = 0; partition < job.partitions; partition++) {
      const outputFile = path.join(folder, 'staging', `local-r${partition}`, 'part');
      const report = await runReduce(
        {
          kind: 'reduce',
          attempt: `local-r${partition}`,
          program: { kind: 'built-in', name: 'wordcount' },
          partition,
          sources: [{ address: 'here', attempts: [...runs.keys()] }],
          scratchPrefix: path.join(folder, `local-r${partition}`),
          outputFile,
        },
        { program: job.program, shuffle, progress: () => undefined, pause: () => Promise.resolve() },
      );
      if (report.kind !== 'reduce-finished') throw new Error(`the reduce ended with ${report.kind}`);
      count(report);
      parts.push(readFileSync(outputFile));
    }
    return { parts, counters };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function sortBuffer({ sortBufferBytes }: LocalJob): { sortBufferBytes?: number } {
  return sortBufferBytes === undefined ? {} : { sortBufferBytes };
}

function shuffleOf(runs: ReadonlyMap<string, HeldRun>): ShuffleClient {
  return {
    async *fetch(_address, { partition, sources }) {
      for (const [index, { attempt, offset }] of sources.entries()) {
        const run = runs.get(attempt);
        if (run === undefined) {
          yield { index, data: Buffer.alloc(0), last: true, missing: true };
          continue;
        }
        const bytes = readFileSync(run.file)
          .subarray(run.offsets[partition], run.offsets[partition + 1])
          .subarray(offset);
        const half = bytes.length >> 1;
        yield { index, data: bytes.subarray(0, half), last: false, missing: false };
        yield { index, data: bytes.subarray(half), last: true, missing: false };
      }
    },
  };
}

function noSnapshot(): never {
  throw new Error('this job reads files');
}
