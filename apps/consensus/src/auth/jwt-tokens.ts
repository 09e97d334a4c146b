import { constants, createHmac, sign, timingSafeEqual, verify, type KeyObject } from 'node:crypto';
import type { Clock } from '@synod/runtime';
import type { AuthRevision } from '../state/auth/auth-space';
import type { TokenHolder, TokenProvider } from './token-provider';

type Signing =
  | { readonly kind: 'rsa' | 'rsa-pss' | 'ecdsa'; readonly digest: string }
  | { readonly kind: 'eddsa' }
  | { readonly kind: 'hmac'; readonly digest: string };

/** RFC 7518, §3.1, and RFC 8037, §3.1. */
export const SIGN_METHODS = {
  RS256: { kind: 'rsa', digest: 'sha256' },
  RS384: { kind: 'rsa', digest: 'sha384' },
  RS512: { kind: 'rsa', digest: 'sha512' },
  PS256: { kind: 'rsa-pss', digest: 'sha256' },
  PS384: { kind: 'rsa-pss', digest: 'sha384' },
  PS512: { kind: 'rsa-pss', digest: 'sha512' },
  ES256: { kind: 'ecdsa', digest: 'sha256' },
  ES384: { kind: 'ecdsa', digest: 'sha384' },
  ES512: { kind: 'ecdsa', digest: 'sha512' },
  EdDSA: { kind: 'eddsa' },
  HS256: { kind: 'hmac', digest: 'sha256' },
  HS384: { kind: 'hmac', digest: 'sha384' },
  HS512: { kind: 'hmac', digest: 'sha512' },
} as const satisfies Record<string, Signing>;

export type SignMethod = keyof typeof SIGN_METHODS;

export interface JwtOptions {
  readonly method: SignMethod;
  /** Verifies; with HMAC the shared secret. */
  readonly verifyingKey: KeyObject;
  /** Signs; a member without it only verifies. */
  readonly signingKey: KeyObject | undefined;
  readonly ttlMs: number;
}

/**
 * Tokens that are signed (RFC 7519): members need not tell each other, and keep nothing. A token speaks for the auth revision at which
 * the password was checked, and so ends with the next change to users or roles. The claims are etcd's.
 */
export class JwtTokens implements TokenProvider {
  readonly logged = false;

  constructor(
    private readonly options: JwtOptions,
    private readonly clock: Clock,
  ) {}

  issue(user: string, revision: AuthRevision): string | undefined {
    const { method, signingKey, ttlMs } = this.options;
    if (signingKey === undefined) return undefined;
    const exp = Math.floor((this.clock.wallMs() + ttlMs) / 1_000);
    const signed = `${encoded({ alg: method, typ: 'JWT' })}.${encoded({ exp, revision: Number(revision), username: user })}`;
    return `${signed}.${signatureOf(SIGN_METHODS[method], signed, signingKey).toString('base64url')}`;
  }

  identify(token: string): TokenHolder | undefined {
    const [header = '', payload = '', signature = '', ...rest] = token.split('.');
    // What the token says of its own method is compared, never followed: a public key must not be taken for a shared secret.
    if (rest.length > 0 || decoded(header)?.['alg'] !== this.options.method) return undefined;
    const { method, verifyingKey } = this.options;
    if (!isSigned(SIGN_METHODS[method], `${header}.${payload}`, Buffer.from(signature, 'base64url'), verifyingKey)) {
      return undefined;
    }
    const { exp, revision, username } = decoded(payload) ?? {};
    if (typeof exp !== 'number' || exp * 1_000 <= this.clock.wallMs()) return undefined;
    if (typeof username !== 'string' || typeof revision !== 'number' || !Number.isSafeInteger(revision))
      return undefined;
    return { user: username, revision: BigInt(revision) };
  }

  note(): void {
    // A token's revision says what it missed.
  }
}

function signatureOf(signing: Signing, text: string, key: KeyObject): Buffer {
  if (signing.kind === 'hmac') return createHmac(signing.digest, key).update(text).digest();
  return sign(signing.kind === 'eddsa' ? null : signing.digest, Buffer.from(text), { key, ...paddingOf(signing) });
}

function isSigned(signing: Signing, text: string, signature: Buffer, key: KeyObject): boolean {
  if (signing.kind === 'hmac') {
    const own = signatureOf(signing, text, key);
    return own.length === signature.length && timingSafeEqual(own, signature);
  }
  const digest = signing.kind === 'eddsa' ? null : signing.digest;
  return verify(digest, Buffer.from(text), { key, ...paddingOf(signing) }, signature);
}

function paddingOf(signing: Signing): object {
  switch (signing.kind) {
    case 'rsa-pss':
      return { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
    case 'ecdsa':
      return { dsaEncoding: 'ieee-p1363' };
    default:
      return {};
  }
}

function encoded(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}

function decoded(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
