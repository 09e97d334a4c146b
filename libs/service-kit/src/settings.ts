import { z } from 'zod';
import { isLoopback, parseAddress, parseEndpoint, type Endpoint, type NamedFile, type TlsFiles } from '@synod/rpc';
import { UsageError } from './usage-error';

/** `host:port` or `[ipv6]:port`, kept as text. */
export function addressSetting(description: string): z.ZodType<string> {
  return z
    .string({ error: 'an address is wanted, host:port or [ipv6]:port' })
    .superRefine((text, context) => {
      try {
        parseAddress(text);
      } catch {
        context.addIssue({ code: 'custom', message: 'is not an address; write host:port or [ipv6]:port' });
      }
    })
    .describe(description);
}

/** Addresses separated by commas, at least one. */
export function addressesSetting(description: string): z.ZodType<string[]> {
  return z
    .union([z.string(), z.array(z.string())], { error: 'addresses are wanted, host:port,host:port,…' })
    .transform((given) => (typeof given === 'string' ? given.split(',').map((part) => part.trim()) : given))
    .superRefine((texts, context) => {
      const wrong = texts.find((text) => !addressSetting('').safeParse(text).success);
      if (wrong === undefined && texts.length > 0) return;
      context.addIssue({
        code: 'custom',
        message: `${JSON.stringify(wrong ?? '')} is not an address; write host:port,…`,
      });
    })
    .describe(description);
}

/** Endpoints separated by commas, at least one: `host:port`, `http://host:port` or `https://host:port`. */
export function endpointsSetting(description: string): z.ZodType<Endpoint[]> {
  return z
    .union([z.string(), z.array(z.string())], { error: 'host:port or http(s)://host:port are wanted, with commas' })
    .transform((given, context): Endpoint[] => {
      const texts = typeof given === 'string' ? given.split(',').map((part) => part.trim()) : given;
      try {
        return texts.map(parseEndpoint);
      } catch (error) {
        context.addIssue({ code: 'custom', message: (error as Error).message });
        return z.NEVER;
      }
    })
    .describe(description);
}

/** Words that switch something on and off; the short ones are those of Go's programs. */
const SWITCH_WORDS = new Map([
  ...['true', 't', '1'].map((word) => [word, true] as const),
  ...['false', 'f', '0'].map((word) => [word, false] as const),
]);

/** A switch: present, `true` or `false`. */
export function switchSetting(description: string, { default: fallback = false } = {}): z.ZodType<boolean> {
  const word = z.string().transform((text, context): boolean => {
    const value = SWITCH_WORDS.get(text.toLowerCase());
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: 'true or false' });
    return z.NEVER;
  });
  return z.union([z.boolean(), word], { error: 'true or false' }).default(fallback).describe(description);
}

/** The name of a file; empty text names none. */
export function fileSetting(description: string): z.ZodType<string | undefined> {
  return z
    .string({ error: 'a file is wanted' })
    .transform((text) => (text === '' ? undefined : text))
    .optional()
    .describe(description);
}

/** Whom a service trusts as the coordination service, and what it proves itself with there. */
export function consensusTlsSettings() {
  return {
    consensusCaFile: fileSetting('authority of the coordination service, PEM; it is called over TLS if this is given'),
    consensusCertFile: fileSetting('certificate to show the coordination service, PEM'),
    consensusKeyFile: fileSetting('its key, PEM'),
  };
}

/** @throws {UsageError} if some of these settings are given without those that they need */
export function consensusTlsFiles(config: {
  readonly consensusCaFile: string | undefined;
  readonly consensusCertFile: string | undefined;
  readonly consensusKeyFile: string | undefined;
}): TlsFiles | undefined {
  const ca = named('--consensus-ca-file', config.consensusCaFile);
  const cert = named('--consensus-cert-file', config.consensusCertFile);
  const key = named('--consensus-key-file', config.consensusKeyFile);
  const alone = cert === undefined ? key : key === undefined || ca === undefined ? cert : undefined;
  if (alone !== undefined) {
    throw new UsageError(`${alone.name} ${alone.path}: an authority, a certificate and its key are given together`);
  }
  if (ca === undefined) return undefined;
  return { ca, ...(cert === undefined || key === undefined ? {} : { identity: { cert, key } }) };
}

function named(name: string, path: string | undefined): NamedFile | undefined {
  return path === undefined ? undefined : { name, path };
}

/** A setting of a program that this one stands in for, where ignoring it would do harm: it may be empty or off, else it is refused. */
export function refusedSetting(reason: string): z.ZodType<undefined> {
  return z
    .unknown()
    .refine((value) => value === undefined || value === '' || value === 'false', { error: reason })
    .transform(() => undefined);
}

/** A whole number within bounds. */
export function countSetting(
  description: string,
  bounds: { min: number; max: number; default: number },
): z.ZodType<number> {
  const message = `a whole number from ${bounds.min} to ${bounds.max} is wanted`;
  return z
    .union(
      [
        z.number(),
        z
          .string()
          .regex(/^-?\d+$/)
          .transform(Number),
      ],
      { error: message },
    )
    .pipe(z.number().int(message).min(bounds.min, message).max(bounds.max, message))
    .default(bounds.default)
    .describe(description);
}

export function nodeIdSetting(): z.ZodType<string> {
  return z
    .string({ error: 'a name of 1 to 63 letters, digits, dots, hyphens or underscores is wanted' })
    .regex(NODE_ID, 'must be 1 to 63 letters, digits, dots, hyphens or underscores, beginning with a letter or digit')
    .describe('name of this node, the same at every start');
}

/** What nodes may be called. */
export const NODE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

export function dataDirSetting(): z.ZodType<string> {
  return z.string({ error: 'a folder is wanted' }).min(1, 'a folder is wanted').describe('folder of this node alone');
}

export function insecureListenSetting(): z.ZodType<boolean> {
  return switchSetting('allow listening off loopback although there is no TLS');
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

export function logLevelSetting(): z.ZodType<(typeof LOG_LEVELS)[number]> {
  return z
    .enum(LOG_LEVELS, { error: `one of ${LOG_LEVELS.join(', ')}` })
    .default('info')
    .describe('least severe lines to log');
}

/** What every service takes. */
export function commonSettings(listenDefault: string) {
  return {
    nodeId: nodeIdSetting(),
    dataDir: dataDirSetting(),
    listen: addressSetting('where clients are served').default(listenDefault),
    advertise: addressSetting('what others dial to reach it; --listen if absent').optional(),
    httpListen: addressSetting('where /metrics, /healthz and /readyz are served').optional(),
    insecureListen: insecureListenSetting(),
    logLevel: logLevelSetting(),
  };
}

/**
 * Refuses to listen where other machines can reach a service that has no TLS.
 * @throws {UsageError} naming the flag
 */
export function assertListenable(
  addresses: Readonly<Record<string, string | undefined>>,
  insecureListen: boolean,
): void {
  if (insecureListen) return;
  for (const [flag, address] of Object.entries(addresses)) {
    if (address === undefined || isLoopback(parseAddress(address))) continue;
    throw new UsageError(
      `${flag} ${address} is reachable from other machines and has no TLS; add --insecure-listen to allow it`,
    );
  }
}
