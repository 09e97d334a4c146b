import type { z } from 'zod';

/** Another name for a setting: that of another program which this one stands in for. */
export interface Alias {
  /** In camelCase, as in a JSON file; the flag follows from it. */
  readonly name: string;
  /** Of its environment variable, such as `ETCD_`. */
  readonly variablePrefix: string;
}

/** A setting that also goes by other names. */
export interface AliasedSetting<S extends z.ZodType = z.ZodType> {
  readonly schema: S;
  readonly aliases: readonly Alias[];
}

/** The settings of a service by name, each a zod schema that takes text or a JSON value; its description is the help text. */
export type Settings = Readonly<Record<string, z.ZodType | AliasedSetting>>;

type SchemaOf<T> = T extends AliasedSetting<infer S> ? S : T;

/** What `loadConfig` makes of settings. */
export type Values<S extends Settings> = { [K in keyof S]: z.output<SchemaOf<S[K]>> };

/** All the names of one setting, its own first. */
export interface SettingNames {
  /** In the configuration that is read. */
  readonly setting: string;
  readonly schema: z.ZodType;
  readonly aliases: readonly Alias[];
  readonly keys: readonly string[];
  readonly flags: readonly string[];
  readonly variables: readonly string[];
}

const OWN_PREFIX = 'SYNOD_';

export function namesOf(settings: Settings): SettingNames[] {
  return Object.entries(settings).map(([setting, given]) => {
    const { schema, aliases } = 'aliases' in given ? given : { schema: given, aliases: [] };
    const names = [{ name: setting, variablePrefix: OWN_PREFIX }, ...aliases];
    return {
      setting,
      schema,
      aliases,
      keys: distinct(names.map(({ name }) => name)),
      flags: distinct(names.map(({ name }) => flagOf(name))),
      variables: names.map(({ name, variablePrefix }) => variableOf(name, variablePrefix)),
    };
  });
}

/** Variables with a prefix that name no setting: somebody meant something by them. */
export function unknownVariables(
  settings: Settings,
  env: Readonly<Record<string, string | undefined>>,
  prefix: string,
): string[] {
  const known = new Set(namesOf(settings).flatMap(({ variables }) => variables));
  return Object.keys(env).filter((name) => name.startsWith(prefix) && env[name] !== '' && !known.has(name));
}

/** `peerListen` is `--peer-listen` on the command line. */
export function flagOf(name: string): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function variableOf(name: string, prefix: string): string {
  return `${prefix}${name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

function distinct(names: readonly string[]): string[] {
  return [...new Set(names)];
}
