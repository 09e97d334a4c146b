import { RELEASE } from '@synod/runtime';
import { Command, CommanderError } from 'commander';
import { endOfOutput, exitCodeOf, lineOf, UsageError } from './failure';
import { kvCommand } from './commands/kv';
import { mrCommand } from './commands/mr';
import { ringCommand } from './commands/ring';
import { serveCommand } from './commands/serve';
import { snapshotCommand } from './commands/snapshot';
import { statusCommand } from './commands/status';
import { txnCommand } from './commands/txn';
import { upCommand } from './commands/up';

/** The `synod` command: starts clusters, and uses them. */
async function main(): Promise<void> {
  const program = new Command('synod')
    .description('Coordination, sharded transactional storage and MapReduce in one system.')
    .version(RELEASE);
  for (const command of [
    upCommand(),
    serveCommand(),
    kvCommand(),
    txnCommand(),
    mrCommand(),
    statusCommand(),
    ringCommand(),
    snapshotCommand(),
  ]) {
    program.addCommand(command);
  }
  // What is wrong is said in one line, below: not here, and without the whole help.
  const silent = (): void => undefined;
  for (const command of everyCommand(program)) {
    command.exitOverride().configureOutput({ outputError: silent, writeErr: silent });
  }
  process.stdout.on('error', endOfOutput);
  try {
    await program.parseAsync();
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return;
    const failure = error instanceof CommanderError ? new UsageError(usageText(error)) : error;
    process.stderr.write(lineOf(failure));
    process.exitCode = exitCodeOf(failure);
  }
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

function usageText({ code, message }: CommanderError): string {
  if (code === 'commander.help') return 'a command is missing; see --help';
  return `${message.replace(/^error: /, '')}; see --help`;
}

void main();
