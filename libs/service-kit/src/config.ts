import { readFileSync } from 'node:fs';
import { formatUrl, type Endpoint } from '@synod/rpc';
import { RELEASE } from '@synod/runtime';
import type { z } from 'zod';
import { flagOf, namesOf, type SettingNames, type Settings, type Values } from './setting-names';
import { UsageError } from './usage-error';

export interface ConfigSources {
  /** Command-line arguments, without node and script. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Asked for with `--help` or `--version`: not a failure. */
export class InfoRequested extends Error {
  constructor(readonly text: string) {
    super('it was asked what this is');
  }
}

/** Flags without a value that are no settings. */
const QUESTIONS = ['help', 'version'];

/** A setting's value as it was given, and where: errors name the place. */
interface Given {
  readonly value: unknown;
  readonly source: string;
}

/** Settings as they were read, and by which name each was given: rules between settings complain under that name. */
export interface ReadSettings<S extends Settings> {
  readonly values: Values<S>;
  /** Absent for those that have their default. */
  readonly sources: Readonly<Partial<Record<keyof S & string, string>>>;
}

/**
 * Reads a service's settings: flag `--peer-listen`, else environment `SYNOD_PEER_LISTEN`, else key `peerListen` of the JSON file
 * named by `--config`, else the schema's default. An alias counts as the setting's own name does. A flag without a value is `true`.
 * @throws {UsageError} one line that names the wrong key, where it came from and what is accepted
 * @throws {InfoRequested}
 */
export function readSettings<S extends Settings>(
  service: string,
  description: string,
  settings: S,
  sources: ConfigSources,
): ReadSettings<S> {
  const table = namesOf(settings);
  const flags = readFlags(sources.argv, table);
  if (flags.has('version')) throw new InfoRequested(`${service} ${RELEASE}\n`);
  if (flags.has('help')) throw new InfoRequested(helpText(service, description, table));
  const configFile = textOf(flags.get('config')?.value) ?? sources.env['SYNOD_CONFIG'];
  const file = configFile === undefined ? {} : readFile(configFile, table);
  const values: Record<string, unknown> = {};
  const given: Record<string, string> = {};
  for (const names of table) {
    const found = flags.get(names.setting) ?? fromEnvironment(names, sources.env) ?? fromFile(names, file, configFile);
    const parsed = names.schema.safeParse(found?.value);
    if (!parsed.success) throw new UsageError(complaint(names, found, parsed.error));
    values[names.setting] = parsed.data;
    if (found !== undefined) given[names.setting] = found.source;
  }
  return { values: values as Values<S>, sources: given as ReadSettings<S>['sources'] };
}

/** The values alone, for services without rules between settings. Throws as `readSettings`. */
export function loadConfig<S extends Settings>(
  service: string,
  description: string,
  settings: S,
  sources: ConfigSources,
): Values<S> {
  return readSettings(service, description, settings, sources).values;
}

function readFlags(argv: readonly string[], table: readonly SettingNames[]): Map<string, Given> {
  const settingOf = new Map(table.flatMap(({ setting, flags }) => flags.map((flag) => [flag, setting] as const)));
  for (const name of ['config', ...QUESTIONS]) settingOf.set(flagOf(name), name);
  const flags = new Map<string, Given>();
  for (let index = 0; index < argv.length; index++) {
    const [flag = '', inline] = splitOnce(argv[index] ?? '', '=');
    const name = settingOf.get(flag);
    if (name === undefined) throw new UsageError(`unknown argument ${flag}; see --help`);
    const before = flags.get(name);
    if (before !== undefined) throw new UsageError(twice(before.source, flag, 'given'));
    const next = argv[index + 1];
    const takesNext = inline === undefined && !QUESTIONS.includes(name) && next !== undefined && !next.startsWith('--');
    flags.set(name, { value: inline ?? (takesNext ? next : true), source: flag });
    if (takesNext) index++;
  }
  return flags;
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}

function fromEnvironment({ variables }: SettingNames, env: ConfigSources['env']): Given | undefined {
  const [variable, other] = variables.filter((each) => env[each] !== undefined && env[each] !== '');
  if (variable === undefined) return undefined;
  if (other !== undefined) throw new UsageError(twice(variable, other, 'set'));
  return { value: env[variable], source: variable };
}

function fromFile(
  { keys }: SettingNames,
  file: Readonly<Record<string, unknown>>,
  path: string | undefined,
): Given | undefined {
  const [key, other] = keys.filter((each) => each in file);
  if (key === undefined) return undefined;
  if (other !== undefined) throw new UsageError(`${twice(`"${key}"`, `"${other}"`, 'given')} in ${path ?? ''}`);
  return { value: file[key], source: `"${key}" in ${path ?? ''}` };
}

function twice(first: string, second: string, verb: 'given' | 'set'): string {
  return first === second
    ? `${first} is ${verb} twice`
    : `${first} and ${second} are one setting and both ${verb}; keep one`;
}

function readFile(path: string, table: readonly SettingNames[]): Record<string, unknown> {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new UsageError(`the configuration file ${path} cannot be read: ${(error as Error).message}`);
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new UsageError(`the configuration file ${path} holds no JSON object`);
  }
  const known = new Set(table.flatMap(({ keys }) => keys));
  const unknown = Object.keys(content).find((key) => !known.has(key));
  if (unknown !== undefined) throw new UsageError(`unknown key "${unknown}" in ${path}; see --help`);
  return content as Record<string, unknown>;
}

function complaint({ flags, variables }: SettingNames, given: Given | undefined, error: z.ZodError): string {
  const what = error.issues[0]?.message ?? 'not accepted';
  if (given === undefined) return `${flags[0]} is missing (or ${variables[0]}); see --help`;
  const shown = given.value === true ? '' : ` ${JSON.stringify(given.value)}`;
  return `${given.source}${shown}: ${what}`;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** A setting without a description is there only to be refused with a reason: it is not offered. */
function helpText(service: string, description: string, table: readonly SettingNames[]): string {
  const rows = table
    .filter(({ schema }) => descriptionOf(schema) !== '')
    .map(({ flags, schema }) => {
      const fallback = schema.safeParse(undefined);
      const note = !fallback.success
        ? ' (required)'
        : fallback.data === undefined
          ? ''
          : ` (default ${shown(fallback.data)})`;
      return [`  ${flags.join(', ')}`, `${descriptionOf(schema)}${note}`] as const;
    });
  rows.push(
    ['  --config', 'JSON file with any of these, in camelCase'],
    ['  --version', 'the release of this program'],
  );
  const width = Math.max(...rows.map(([flag]) => flag.length)) + 2;
  const lines = rows.map(([flag, text]) => flag.padEnd(width) + text);
  const others = [...new Set(table.flatMap(({ aliases }) => aliases.map(({ variablePrefix }) => variablePrefix)))];
  const prefixes = ['as SYNOD_<FLAG>', ...others.map((prefix) => `a name of another program as ${prefix}<FLAG>`)];
  return `${service}: ${description}\n\nEvery flag can be given ${prefixes.join(', ')} in the environment.\n\n${lines.join('\n')}\n`;
}

/** A schema's description, also where a default or an option was wrapped around it. */
function descriptionOf(schema: z.ZodType): string {
  if (schema.description !== undefined) return schema.description;
  return 'unwrap' in schema ? descriptionOf((schema as z.ZodOptional<z.ZodType>).unwrap()) : '';
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.map(shown).join(',');
  if (isEndpoint(value)) return value.scheme === undefined ? value.address : formatUrl(value);
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function isEndpoint(value: unknown): value is Endpoint {
  return typeof value === 'object' && value !== null && 'scheme' in value && 'address' in value;
}
