import path from 'node:path';
import { Command } from 'commander';
import { bundleProgram, runJob, type JobProgress } from '@synod/client';
import { SynodError } from '@synod/runtime';
import { UsageError } from '../failure';
import { withClient, withEndpoints, type EndpointOptions } from '../session';

interface RunOptions extends EndpointOptions {
  readonly input: string;
  readonly output: string;
  readonly json?: boolean;
}

export function mrCommand(): Command {
  const mr = new Command('mr').description('Run MapReduce jobs.');
  mr.addCommand(
    withEndpoints(new Command('run'))
      .description('run a job to its end; writes part-00000 … into a folder that must not exist')
      .argument('<program>', 'wordcount, index, or a TypeScript file that default-exports {map, reduce, combine?}')
      .requiredOption('--input <glob>', 'files, a folder, or store:PREFIX for a snapshot of the store')
      .requiredOption('--output <folder>', 'where the result appears, whole or not at all')
      .option('--json', 'print the finished job as one JSON object')
      .action((program: string, options: RunOptions) => run(program, options)),
  );
  return mr;
}

async function run(name: string, options: RunOptions): Promise<void> {
  const program = await programOf(name);
  const masters = await withClient(options, async (client) => {
    await client.routing.ready();
    return client.routing.nodes('mapreduce-master').map(({ address }) => address);
  });
  if (masters.length === 0) throw new SynodError('unavailable', 'no MapReduce master is registered; start one');
  const cancel = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => cancel.abort());
  const job = await runJob(
    { program, input: inputOf(options.input), output: path.resolve(options.output), masters },
    { onProgress: showProgress, signal: cancel.signal },
  );
  if (options.json === true) process.stdout.write(`${JSON.stringify(job, replacer)}\n`);
  else process.stdout.write(`${job.reduces.total} parts in ${job.output}\n`);
}

async function programOf(name: string): Promise<'wordcount' | 'index' | Awaited<ReturnType<typeof bundleProgram>>> {
  if (name === 'wordcount' || name === 'index') return name;
  if (!/\.[cm]?[jt]s$/.test(name)) {
    throw new UsageError(`unknown program ${name}; one of wordcount, index, or a TypeScript file`);
  }
  return bundleProgram(name);
}

/** Files are named by absolute paths: the workers have another working folder. */
function inputOf(input: string): string {
  return input.startsWith('store:') ? input : path.resolve(input);
}

let shown = '';

/** For people who wait: in a script, what is on stderr is what went wrong. */
function showProgress({ state, maps, reduces }: JobProgress): void {
  const line = `${state}: maps ${maps.completed}/${maps.total}, reduces ${reduces.completed}/${reduces.total}`;
  if (line !== shown && process.stderr.isTTY) process.stderr.write(`${line}\n`);
  shown = line;
}

function replacer(_name: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  return value instanceof Map ? Object.fromEntries(value) : value;
}
