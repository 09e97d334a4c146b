import path from 'node:path';
import { required, type mapreduceV1 } from '@synod/contracts';
import { SynodError } from '@synod/runtime';
import type { Order, ProgramOrder, SplitOrder } from './executor/orders';

/**
 * @param bundle path of the user program, if it is one
 * @param scratch folder of this attempt
 */
export function mapOrder(task: mapreduceV1.RunMap__Output, bundle: string | undefined, scratch: string): Order {
  const program = required(task.program, 'program');
  return {
    kind: 'map',
    attempt: task.attempt,
    program: programOrder(program, bundle),
    partitions: program.partitions,
    split: splitOrder(task),
    runFile: path.join(scratch, 'output.run'),
  };
}

export function reduceOrder(task: mapreduceV1.RunReduce__Output, bundle: string | undefined, scratch: string): Order {
  return {
    kind: 'reduce',
    attempt: task.attempt,
    program: programOrder(required(task.program, 'program'), bundle),
    partition: task.partition,
    sources: task.sources,
    scratchPrefix: path.join(scratch, 'reduce'),
    outputFile: task.outputFile,
  };
}

function programOrder(program: mapreduceV1.JobProgram__Output, bundle: string | undefined): ProgramOrder {
  if (bundle !== undefined) return { kind: 'user', path: bundle };
  const builtIn = program.builtIn ?? 'BUILT_IN_PROGRAM_UNSPECIFIED';
  switch (builtIn) {
    case 'BUILT_IN_PROGRAM_WORDCOUNT':
      return { kind: 'built-in', name: 'wordcount' };
    case 'BUILT_IN_PROGRAM_INDEX':
      return { kind: 'built-in', name: 'index' };
    case 'BUILT_IN_PROGRAM_UNSPECIFIED':
      throw new SynodError(
        'unimplemented',
        'this worker does not know the program; it runs an older release than the master',
      );
  }
}

function splitOrder(task: mapreduceV1.RunMap__Output): SplitOrder {
  if (task.split === 'store') {
    const { readTs, start, end, keys } = required(task.store, 'store');
    return { kind: 'store', readTs: BigInt(readTs), start, end, keys };
  }
  const { folder, ranges } = required(task.files, 'files');
  return {
    kind: 'files',
    folder,
    ranges: ranges.map(({ document, start, end }) => ({ document, start: Number(start), end: Number(end) })),
  };
}
