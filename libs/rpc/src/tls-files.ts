import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { SynodError, type Log } from '@synod/runtime';

/** A file, and the setting that names it: what is wrong with it is said under that name. */
export interface NamedFile {
  readonly path: string;
  readonly name: string;
}

/** What one end of a connection proves itself with, and what it holds the other end against. All PEM. */
export interface TlsFiles {
  /** The certificate, with the intermediate ones after it, and its key. A server has them; a client may. */
  readonly identity?: { readonly cert: NamedFile; readonly key: NamedFile };
  /** Authorities. A server that has them asks every client for a certificate of theirs; a client without them trusts the system's. */
  readonly ca?: NamedFile;
}

/** How often the files are looked at. */
const LOOK_MS = 1_000;

/**
 * Certificates that are renewed while they are in use: when files have changed, connections made from then on use the new ones, and those
 * that are open go on. Files that do not fit together, as in the midst of a renewal, change nothing.
 */
export class TlsMaterial {
  private current: Loaded;
  private seen: string;
  private readonly listeners = new Set<(options: SecureContextOptions) => void>();
  private readonly looking: NodeJS.Timeout;

  /** @throws {SynodError} `invalid-argument`, in one line that names the setting, if the files cannot be used */
  constructor(
    private readonly files: TlsFiles,
    private readonly log: Log,
  ) {
    this.seen = versionsOf(files);
    this.current = load(files);
    this.looking = setInterval(() => this.look(), LOOK_MS);
    this.looking.unref();
  }

  /** Whether the other end must have a certificate of a certain authority. */
  get checksOthers(): boolean {
    return this.files.ca !== undefined;
  }

  get options(): SecureContextOptions {
    return this.current.options;
  }

  get context(): SecureContext {
    return this.current.context;
  }

  /** @returns the hand that ends it */
  onChange(listener: (options: SecureContextOptions) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Takes up what has changed, at once. */
  look(): void {
    const versions = versionsOf(this.files);
    if (versions === this.seen) return;
    this.seen = versions;
    try {
      this.current = load(this.files);
    } catch (error) {
      this.log.warn('changed certificates cannot be used; those from before stay in use', {
        reason: (error as Error).message,
      });
      return;
    }
    this.log.info('changed certificates are in use', { validTo: this.current.validTo });
    for (const listener of this.listeners) listener(this.current.options);
  }

  close(): void {
    clearInterval(this.looking);
    this.listeners.clear();
  }
}

interface Loaded {
  readonly options: SecureContextOptions;
  readonly context: SecureContext;
  readonly validTo: string | undefined;
}

function load({ identity, ca }: TlsFiles): Loaded {
  const options: SecureContextOptions = {};
  let validTo: string | undefined;
  if (identity !== undefined) {
    const { cert, key } = identity;
    const [certPem, keyPem] = [read(cert), read(key)];
    const certificate = certificateIn(cert, certPem);
    if (!certificate.checkPrivateKey(privateKeyIn(key, keyPem))) {
      throw refusal(key, `is not the key of ${cert.name} ${cert.path}`);
    }
    validTo = certificate.validTo;
    Object.assign(options, { cert: certPem, key: keyPem });
  }
  if (ca !== undefined) {
    const pem = read(ca);
    certificateIn(ca, pem);
    options.ca = pem;
  }
  try {
    return { options, context: createSecureContext(options), validTo };
  } catch (cause) {
    const file = identity?.cert ?? ca;
    throw new SynodError('invalid-argument', `${file?.name} ${file?.path}: ${(cause as Error).message}`, { cause });
  }
}

function read(file: NamedFile): Buffer {
  try {
    return readFileSync(file.path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'this user may not read it' : code;
    throw refusal(file, `cannot be read: ${why ?? (error as Error).message}`);
  }
}

function certificateIn(file: NamedFile, pem: Buffer): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw refusal(file, 'holds no certificate in PEM form');
  }
}

function privateKeyIn(file: NamedFile, pem: Buffer): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(pem);
  } catch {
    throw refusal(file, 'holds no private key in PEM form, or one under a passphrase');
  }
}

function refusal(file: NamedFile, what: string): SynodError {
  return new SynodError('invalid-argument', `${file.name} ${file.path} ${what}`);
}

/** Changes whenever a file is written, replaced, or reached by another link. */
function versionsOf({ identity, ca }: TlsFiles): string {
  const files = [identity?.cert, identity?.key, ca].filter((file) => file !== undefined);
  return files.map(({ path }) => versionOf(path)).join();
}

function versionOf(path: string): string {
  try {
    const { mtimeNs, size, ino } = statSync(path, { bigint: true });
    return `${mtimeNs}/${size}/${ino}`;
  } catch {
    return 'gone';
  }
}
