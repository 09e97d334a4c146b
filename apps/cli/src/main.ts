import { Command, CommanderError } from 'commander';
import { exitCodeOf, lineOf } from './failure';
import { kvCommand } from './commands/kv';
import { mrCommand } from './commands/mr';
import { ringCommand } from './commands/ring';
import { serveCommand } from './commands/serve';
import { statusCommand } from './commands/status';
import { txnCommand } from './commands/txn';
import { upCommand } from './commands/up';

/** The `synod` command: starts clusters, and uses them. */
async function main(): Promise<void> {
  const program = new Command('synod')
    .description('Coordination, sharded transactional storage and MapReduce in one system.')
    .showHelpAfterError('(add --help for what is accepted)');
  for (const command of [
    upCommand(),
    serveCommand(),
    kvCommand(),
    txnCommand(),
    mrCommand(),
    statusCommand(),
    ringCommand(),
  ]) {
    program.addCommand(command);
  }
  for (const command of everyCommand(program)) {
    command.exitOverride().configureOutput({ outputError: () => undefined });
  }
  try {
    await program.parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return;
      const text = error.message.replace(/^error: /, '');
      process.stderr.write(
        lineOf(error.code === 'commander.help' ? 'no command given; see synod --help' : `${text}; see --help`),
      );
      process.exitCode = 2;
      return;
    }
    process.stderr.write(lineOf(error));
    process.exitCode = exitCodeOf(error);
  }
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

void main();
