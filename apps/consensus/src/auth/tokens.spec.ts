import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ManualTime } from '@synod/coordination';
import type { Clock } from '@synod/runtime';
import { JwtTokens } from './jwt-tokens';
import { Passwords } from './passwords';
import { SIMPLE_TOKEN_TTL_US, SimpleTokens } from './simple-tokens';
import { readTokenOptions } from './token-options';

describe('simple tokens', () => {
  const fixture = (): { time: ManualTime; tokens: SimpleTokens } => {
    const time = new ManualTime();
    let seed = 0;
    const random = { below: () => 0, bytes: (size: number) => Buffer.alloc(size, ++seed) };
    return { time, tokens: new SimpleTokens({ clock: time, random }) };
  };

  it('are known once they are in the log, and live while they are used', async () => {
    const { time, tokens } = fixture();
    const token = tokens.issue();
    expect(tokens.identify(token)).toBeUndefined();
    tokens.note({ kind: 'issued', user: 'ann', token });
    for (let turn = 0; turn < 3; turn++) {
      await time.advance(SIMPLE_TOKEN_TTL_US - 1);
      expect(tokens.identify(token)).toEqual({ user: 'ann' });
    }
    await time.advance(SIMPLE_TOKEN_TTL_US);
    expect(tokens.identify(token)).toBeUndefined();
  });

  it('end with their user or password, and when users are no longer checked', () => {
    const { tokens } = fixture();
    const known = (): boolean[] => ['a1', 'a2', 'b1'].map((token) => tokens.identify(token) !== undefined);
    for (const token of ['a1', 'a2', 'b1']) tokens.note({ kind: 'issued', user: token.slice(0, 1), token });
    tokens.note({ kind: 'revoked', user: 'a' });
    expect(known()).toEqual([false, false, true]);
    tokens.note({ kind: 'all-revoked' });
    expect(known()).toEqual([false, false, false]);
  });
});

describe('signed tokens', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'synod-tokens-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  let wallMs = 1_000_000;
  const clock: Clock = { monotonicUs: () => 0, wallMs: () => wallMs };

  const file = (name: string, content: string | Buffer): string => {
    const at = path.join(folder, name);
    writeFileSync(at, content);
    return at;
  };
  const write = (
    name: string,
    pair: ReturnType<typeof generateKeyPairSync>,
  ): { publicKey: string; privateKey: string } => ({
    publicKey: file(`${name}.pub`, pair.publicKey.export({ type: 'spki', format: 'pem' })),
    privateKey: file(`${name}.key`, pair.privateKey.export({ type: 'pkcs8', format: 'pem' })),
  });
  const rsa = write('rsa', generateKeyPairSync('rsa', { modulusLength: 2_048 }));
  const ec = write('ec', generateKeyPairSync('ec', { namedCurve: 'P-256' }));
  const ed = write('ed', generateKeyPairSync('ed25519'));
  const secret = file('secret', 'thirty-two bytes of secret, more');

  const provider = (text: string): JwtTokens => {
    const options = readTokenOptions(text);
    if (options.kind !== 'jwt') throw new Error('not jwt');
    return new JwtTokens(options, clock);
  };

  it.each([
    ['RS256', `pub-key=${rsa.publicKey},priv-key=${rsa.privateKey}`],
    ['PS512', `pub-key=${rsa.publicKey},priv-key=${rsa.privateKey}`],
    ['ES256', `priv-key=${ec.privateKey}`],
    ['EdDSA', `priv-key=${ed.privateKey}`],
    ['HS384', `priv-key=${secret}`],
  ])('are known by their signature: %s', (method, keys) => {
    const tokens = provider(`jwt,sign-method=${method},${keys},ttl=10m`);
    const token = tokens.issue('ann', 7n) ?? '';
    expect(tokens.identify(token)).toEqual({ user: 'ann', revision: 7n });
    const [header = '', payload = '', signature = ''] = token.split('.');
    const root = Buffer.from(JSON.stringify({ exp: 9e9, revision: 7, username: 'root' })).toString('base64url');
    const none = Buffer.from('{"alg":"none"}').toString('base64url');
    const forged = [
      `${header}.${root}.${signature}`,
      `${none}.${payload}.`,
      `${header}.${payload}`,
      '',
      'x',
      `${token}.x`,
    ];
    expect(forged.map((each) => tokens.identify(each))).toEqual(forged.map(() => undefined));
    wallMs += 600_000;
    expect(tokens.identify(token)).toBeUndefined();
  });

  // A public key is no secret: whoever has it must not be able to sign with it.
  it('are not known by another method than the one that is set', () => {
    const forger = provider(`jwt,sign-method=HS256,priv-key=${rsa.publicKey}`);
    const tokens = provider(`jwt,sign-method=RS256,pub-key=${rsa.publicKey}`);
    expect(tokens.identify(forger.issue('root', 1n) ?? '')).toBeUndefined();
    expect(tokens.issue('root', 1n)).toBeUndefined();
  });

  it.each([
    ['rot13', 'simple, or jwt'],
    ['simple,ttl=5m', 'simple, or jwt'],
    ['jwt', 'sign-method'],
    ['jwt,sign-method=none', 'sign-method'],
    ['jwt,sign-method=RS256', 'pub-key or priv-key'],
    ['jwt,sign-method=HS256,pub-key=x', 'the secret'],
    ['jwt,sign-method=RS256,sign-method=RS256', 'twice'],
    ['jwt,sign-method=RS256,key=x', 'one of'],
    [`jwt,sign-method=RS256,priv-key=${secret}`, 'no key that can be read'],
    [`jwt,sign-method=ES256,priv-key=${rsa.privateKey}`, 'none for ES256'],
    [`jwt,sign-method=RS256,priv-key=${rsa.privateKey},ttl=soon`, 'ttl'],
  ])('are set up by etcd’s own option; %s is refused', (text, reason) => {
    expect(() => readTokenOptions(text)).toThrow(reason);
  });
});

describe('passwords', () => {
  it('are kept as salted hashes that say how they were made', async () => {
    const passwords = new Passwords();
    const [one, other] = await Promise.all([passwords.hash('secret'), passwords.hash('secret')]);
    expect(one).toMatch(/^\$scrypt\$ln=14,r=8,p=1\$/);
    expect(one).not.toBe(other);
    expect(await passwords.matches('secret', one)).toBe(true);
    expect(await passwords.matches('Secret', one)).toBe(false);
    expect(await passwords.matches('', undefined)).toBe(false);
  });

  it('are checked two at a time; a flood of guesses is turned away', async () => {
    const passwords = new Passwords();
    const outcomes = await Promise.allSettled(Array.from({ length: 70 }, () => passwords.matches('x', undefined)));
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(4);
  }, 60_000);
});
