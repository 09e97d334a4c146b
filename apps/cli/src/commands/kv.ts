import { buffer } from 'node:stream/consumers';
import { Command, InvalidArgumentError } from 'commander';
import { SynodError } from '@synod/runtime';
import { UsageError } from '../failure';
import { escapeBytes } from '../format';
import { withClient, withEndpoints, type EndpointOptions } from '../session';

interface ScanOptions extends EndpointOptions {
  readonly limit?: number;
  readonly json?: boolean;
}

export function kvCommand(): Command {
  const kv = new Command('kv').description('Read and write single keys of the sharded store.');
  kv.addCommand(
    withEndpoints(new Command('put'))
      .description('write a key')
      .argument('<key>')
      .argument('<value>', 'the value, or - to read it from standard input')
      .action(async (key: string, value: string, options: EndpointOptions) => {
        const bytes = keyOf(key);
        const content = value === '-' ? await buffer(process.stdin) : Buffer.from(value);
        await withClient(options, (client) => client.kv.put(bytes, content));
      }),
  );
  kv.addCommand(
    withEndpoints(new Command('get'))
      .description('print the raw bytes of a key; exit code 1 if it is absent')
      .argument('<key>')
      .action(async (key: string, options: EndpointOptions) => {
        const bytes = keyOf(key);
        const value = await withClient(options, (client) => client.kv.get(bytes));
        if (value === undefined) throw new SynodError('not-found', `there is no key ${key}`);
        process.stdout.write(value);
      }),
  );
  kv.addCommand(
    withEndpoints(new Command('del'))
      .description('delete a key, if it is there')
      .argument('<key>')
      .action((key: string, options: EndpointOptions) => {
        const bytes = keyOf(key);
        return withClient(options, (client) => client.kv.delete(bytes));
      }),
  );
  kv.addCommand(
    withEndpoints(new Command('scan'))
      .description('print keys with a prefix, in byte order, from one snapshot')
      .argument('<prefix>')
      .option('--limit <count>', 'at most so many', limit)
      .option('--json', 'one JSON object a line, key and value in base64')
      .action((prefix: string, options: ScanOptions) => scan(prefix, options)),
  );
  return kv;
}

async function scan(prefix: string, options: ScanOptions): Promise<void> {
  const most = options.limit ?? Infinity;
  await withClient(options, async (client) => {
    let count = 0;
    for await (const { key, value } of client.kv.rows({ prefix: Buffer.from(prefix) })) {
      if (count++ >= most) return;
      process.stdout.write(
        options.json === true
          ? `${JSON.stringify({ key: key.toString('base64'), value: value.toString('base64') })}\n`
          : `${escapeBytes(key)}\t${escapeBytes(value)}\n`,
      );
    }
  });
}

function keyOf(text: string): Buffer {
  if (text === '') throw new UsageError('the key is empty; a key has 1 to 1,024 bytes');
  return Buffer.from(text);
}

function limit(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('a whole number from 1 on');
  return value;
}
