import { readFileSync } from 'node:fs';
import type { z } from 'zod';
import { UsageError } from './usage-error';

/** The settings of a service by name, each a zod schema that takes text or a JSON value; its description is the help text. */
export type Settings = Record<string, z.ZodType>;

export interface ConfigSources {
  /** Command-line arguments, without node and script. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Asked for with `--help`: not a failure. */
export class HelpRequested extends Error {
  constructor(readonly text: string) {
    super('help was asked for');
  }
}

/** A setting's value as it was given, and where: errors name the place. */
interface Given {
  readonly value: unknown;
  readonly source: string;
}

/**
 * Reads a service's settings: flag `--peer-listen`, else environment `SYNOD_PEER_LISTEN`, else key `peerListen` of the JSON file
 * named by `--config`, else the schema's default. A flag without a value is `true`.
 * @throws {UsageError} one line that names the wrong key, where it came from and what is accepted
 * @throws {HelpRequested}
 */
export function loadConfig<S extends Settings>(
  service: string,
  description: string,
  settings: S,
  sources: ConfigSources,
): z.output<z.ZodObject<S>> {
  const flags = readFlags(sources.argv, settings);
  if (flags.has('help')) throw new HelpRequested(helpText(service, description, settings));
  const configFile = textOf(flags.get('config')?.value) ?? sources.env['SYNOD_CONFIG'];
  const file = configFile === undefined ? {} : readFile(configFile, settings);
  const config: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(settings)) {
    const given = flags.get(name) ?? fromEnvironment(name, sources.env) ?? fromFile(name, file, configFile);
    const parsed = schema.safeParse(given?.value);
    if (!parsed.success) throw new UsageError(complaint(name, given, parsed.error));
    config[name] = parsed.data;
  }
  return config as z.output<z.ZodObject<S>>;
}

/** `peerListen` is `--peer-listen` on the command line. */
function flagOf(name: string): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function variableOf(name: string): string {
  return `SYNOD_${name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

function readFlags(argv: readonly string[], settings: Settings): Map<string, Given> {
  const names = new Map([...Object.keys(settings), 'config', 'help'].map((name) => [flagOf(name), name]));
  const flags = new Map<string, Given>();
  for (let index = 0; index < argv.length; index++) {
    const [flag = '', inline] = splitOnce(argv[index] ?? '', '=');
    const name = names.get(flag);
    if (name === undefined) throw new UsageError(`unknown argument ${flag}; see --help`);
    if (flags.has(name)) throw new UsageError(`${flag} is given twice`);
    const next = argv[index + 1];
    const takesNext = inline === undefined && name !== 'help' && next !== undefined && !next.startsWith('--');
    flags.set(name, { value: inline ?? (takesNext ? next : true), source: flag });
    if (takesNext) index++;
  }
  return flags;
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}

function fromEnvironment(name: string, env: ConfigSources['env']): Given | undefined {
  const variable = variableOf(name);
  const value = env[variable];
  return value === undefined || value === '' ? undefined : { value, source: variable };
}

function fromFile(name: string, file: Readonly<Record<string, unknown>>, path: string | undefined): Given | undefined {
  return name in file ? { value: file[name], source: `"${name}" in ${path ?? ''}` } : undefined;
}

function readFile(path: string, settings: Settings): Record<string, unknown> {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new UsageError(`the configuration file ${path} cannot be read: ${(error as Error).message}`);
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new UsageError(`the configuration file ${path} holds no JSON object`);
  }
  const unknown = Object.keys(content).find((key) => !(key in settings));
  if (unknown !== undefined) throw new UsageError(`unknown key "${unknown}" in ${path}; see --help`);
  return content as Record<string, unknown>;
}

function complaint(name: string, given: Given | undefined, error: z.ZodError): string {
  const what = error.issues[0]?.message ?? 'not accepted';
  if (given === undefined) return `${flagOf(name)} is missing (or ${variableOf(name)}); see --help`;
  const shown = given.value === true ? '' : ` ${JSON.stringify(given.value)}`;
  return `${given.source}${shown}: ${what}`;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function helpText(service: string, description: string, settings: Settings): string {
  const rows = Object.entries(settings).map(([name, schema]) => {
    const fallback = schema.safeParse(undefined);
    const note = !fallback.success
      ? ' (required)'
      : fallback.data === undefined
        ? ''
        : ` (default ${shown(fallback.data)})`;
    return [`  ${flagOf(name)}`, `${descriptionOf(schema)}${note}`] as const;
  });
  rows.push(['  --config', 'JSON file with any of these, in camelCase']);
  const width = Math.max(...rows.map(([flag]) => flag.length)) + 2;
  const lines = rows.map(([flag, text]) => flag.padEnd(width) + text);
  return `${service}: ${description}\n\nEvery flag can be given as SYNOD_<FLAG> in the environment.\n\n${lines.join('\n')}\n`;
}

/** A schema's description, also where a default or an option was wrapped around it. */
function descriptionOf(schema: z.ZodType): string {
  if (schema.description !== undefined) return schema.description;
  return 'unwrap' in schema ? descriptionOf((schema as z.ZodOptional<z.ZodType>).unwrap()) : '';
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
