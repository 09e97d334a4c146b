import { z } from 'zod';
import { isLoopback, parseAddress } from '@synod/rpc';
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

/** A switch: present, `true` or `false`. */
export function switchSetting(description: string): z.ZodType<boolean> {
  return z
    .union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')], { error: 'true or false' })
    .default(false)
    .describe(description);
}

/** A whole number within bounds. */
export function countSetting(
  description: string,
  bounds: { min: number; max: number; default: number },
): z.ZodType<number> {
  const message = `a whole number from ${bounds.min} to ${bounds.max} is wanted`;
  return z
    .union([z.number(), z.string().regex(/^\d+$/).transform(Number)], { error: message })
    .pipe(z.number().int(message).min(bounds.min, message).max(bounds.max, message))
    .default(bounds.default)
    .describe(description);
}

/** What every service takes. */
export function commonSettings(listenDefault: string) {
  return {
    nodeId: z
      .string({ error: 'a name of 1 to 63 letters, digits, dots or hyphens is wanted' })
      .regex(/^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$/, 'must be 1 to 63 letters, digits, dots or hyphens')
      .describe('name of this node, the same at every start'),
    dataDir: z
      .string({ error: 'a folder is wanted' })
      .min(1, 'a folder is wanted')
      .describe('folder of this node alone'),
    listen: addressSetting('where clients are served').default(listenDefault),
    advertise: addressSetting('what others dial to reach it; --listen if absent').optional(),
    httpListen: addressSetting('where /metrics, /healthz and /readyz are served').optional(),
    insecureListen: switchSetting('allow listening off loopback although there is no TLS'),
    logLevel: z
      .enum(['debug', 'info', 'warn', 'error'], { error: 'one of debug, info, warn, error' })
      .default('info')
      .describe('least severe lines to log'),
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
