import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { Command } from 'commander';
import type { SynodClient } from '@synod/client';
import { SynodError } from '@synod/runtime';
import { escapeBytes } from '../format';
import { withClient, withEndpoints, type EndpointOptions } from '../session';
import { parseScript, type Step } from '../txn-script';

export function txnCommand(): Command {
  return withEndpoints(new Command('txn'))
    .description(
      'Run lines of get "k", put "k" "v", del "k" (JSON strings) as one transaction; print the gets in order.',
    )
    .argument('[file]', 'the script; standard input if absent or -', '-')
    .action(async (file: string, options: EndpointOptions) => {
      const steps = parseScript(file === '-' ? await text(process.stdin) : await contentOf(file));
      const gets = await withClient(options, (client) => run(client, steps));
      // Only now: what a run that did not commit has read says nothing.
      for (const { key, value } of gets) {
        process.stdout.write(`${escapeBytes(key)}${value === undefined ? '' : `\t${escapeBytes(value)}`}\n`);
      }
    });
}

function run(client: SynodClient, steps: readonly Step[]): Promise<{ key: Buffer; value: Buffer | undefined }[]> {
  return client.transaction(async (transaction) => {
    const gets: { key: Buffer; value: Buffer | undefined }[] = [];
    for (const step of steps) {
      switch (step.kind) {
        case 'get':
          gets.push({ key: step.key, value: await transaction.get(step.key) });
          break;
        case 'put':
          transaction.put(step.key, step.value);
          break;
        case 'del':
          transaction.delete(step.key);
      }
    }
    return gets;
  });
}

async function contentOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new SynodError('not-found', `the script ${file} cannot be read: ${(error as Error).message}`);
  }
}
