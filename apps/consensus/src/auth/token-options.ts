import { createPublicKey, createPrivateKey, createSecretKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { SIGN_METHODS, type JwtOptions, type SignMethod } from './jwt-tokens';

/** What kind of tokens a member hands out. */
export type TokenOptions = { readonly kind: 'simple' } | ({ readonly kind: 'jwt' } & JwtOptions);

const DURATION_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;
const DEFAULT_TTL_MS = 5 * DURATION_MS.m;

/**
 * Reads etcd's `--auth-token`: `simple`, or `jwt,sign-method=RS256,pub-key=FILE,priv-key=FILE,ttl=10m`. Members without `priv-key` only
 * verify. With HMAC `priv-key` is the secret that all members share.
 * @throws {Error} saying what is wrong
 */
export function readTokenOptions(text: string): TokenOptions {
  const [kind, ...parts] = text.split(',');
  if (kind === 'simple' && parts.length === 0) return { kind };
  if (kind !== 'jwt') throw new Error('simple, or jwt with its options, is wanted');
  const options = new Map<string, string>();
  for (const part of parts) {
    const [name = '', value = '', ...rest] = part.split('=');
    if (!['sign-method', 'pub-key', 'priv-key', 'ttl'].includes(name) || value === '' || rest.length > 0) {
      throw new Error(`${part}: one of sign-method=, pub-key=, priv-key=, ttl= is wanted`);
    }
    if (options.has(name)) throw new Error(`${name} is given twice`);
    options.set(name, value);
  }
  const method = options.get('sign-method');
  if (!isSignMethod(method)) throw new Error(`sign-method: one of ${Object.keys(SIGN_METHODS).join(', ')} is wanted`);
  return { kind, method, ttlMs: durationOf(options.get('ttl')), ...keysOf(method, options) };
}

function isSignMethod(name: string | undefined): name is SignMethod {
  return name !== undefined && Object.hasOwn(SIGN_METHODS, name);
}

function durationOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_TTL_MS;
  const [, count = '', unit = ''] = /^(\d+)(ms|s|m|h)$/.exec(text) ?? [];
  const ms = Number(count) * (DURATION_MS[unit as keyof typeof DURATION_MS] ?? 0);
  if (!(ms > 0)) throw new Error(`ttl=${text}: a time is wanted, as 10m`);
  return ms;
}

function keysOf(
  method: SignMethod,
  options: ReadonlyMap<string, string>,
): Pick<JwtOptions, 'verifyingKey' | 'signingKey'> {
  const [privateFile, publicFile] = [options.get('priv-key'), options.get('pub-key')];
  if (SIGN_METHODS[method].kind === 'hmac') {
    if (privateFile === undefined) throw new Error(`${method} needs priv-key, the secret that all members share`);
    const secret = createSecretKey(readFileSync(privateFile));
    return { verifyingKey: secret, signingKey: secret };
  }
  const signingKey = privateFile === undefined ? undefined : keyIn(privateFile, createPrivateKey);
  const given = publicFile === undefined ? undefined : keyIn(publicFile, createPublicKey);
  if (signingKey === undefined && given === undefined) throw new Error(`${method} needs pub-key or priv-key`);
  const own = signingKey === undefined ? undefined : createPublicKey(signingKey);
  const verifyingKey = given ?? own;
  if (verifyingKey === undefined || !fits(method, verifyingKey)) throw new Error(`the keys are none for ${method}`);
  if (own !== undefined && !own.equals(verifyingKey)) throw new Error('pub-key and priv-key do not belong together');
  return { verifyingKey, signingKey };
}

function keyIn(file: string, read: (pem: Buffer) => KeyObject): KeyObject {
  try {
    return read(readFileSync(file));
  } catch (error) {
    throw new Error(`${file} holds no key that can be read: ${(error as Error).message}`, { cause: error });
  }
}

function fits(method: SignMethod, { asymmetricKeyType }: KeyObject): boolean {
  const types = { rsa: ['rsa'], 'rsa-pss': ['rsa', 'rsa-pss'], ecdsa: ['ec'], eddsa: ['ed25519'], hmac: [] };
  return (types[SIGN_METHODS[method].kind] as string[]).includes(asymmetricKeyType ?? '');
}
