import { randomBytes, scrypt, timingSafeEqual, type ScryptOptions } from 'node:crypto';
import { EtcdError } from '../state/errors';

/** 16 MiB and some fifty milliseconds for each guess. (Percival, "Stronger key derivation via sequential memory-hard functions", 2009.) */
const COST_LOG2 = 14;
const BLOCK_SIZE = 8;
const PARALLELISM = 1;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** Hashes share their threads with the syncs of the log: these leave it half of them. */
const HASHING_MAX = 2;
/** Hashes that wait; beyond this a flood of guesses is turned away. */
const WAITING_MAX = 64;

/** Hashes passwords, so that neither the log nor a backup holds any. The text form says with what cost, so that it can be raised later. */
export class Passwords {
  private hashing = 0;
  private readonly waiting: (() => void)[] = [];

  /** @throws {EtcdError} `too-many-requests` */
  async hash(password: string): Promise<string> {
    const salt = randomBytes(SALT_BYTES);
    const hash = await this.derive(password, salt, COST_LOG2);
    return `$scrypt$ln=${COST_LOG2},r=${BLOCK_SIZE},p=${PARALLELISM}$${salt.toString('base64')}$${hash.toString('base64')}`;
  }

  /**
   * @param hash undefined if there is no such user: that takes as long and fails
   * @throws {EtcdError} `too-many-requests`
   */
  async matches(password: string, hash: string | undefined): Promise<boolean> {
    const [, cost = String(COST_LOG2), salt = '', wanted = ''] =
      /^\$scrypt\$ln=(\d+),r=8,p=1\$([^$]+)\$([^$]+)$/.exec(hash ?? '') ?? [];
    const expected = Buffer.from(wanted, 'base64');
    const actual = await this.derive(password, Buffer.from(salt, 'base64'), Number(cost));
    return expected.length === actual.length && timingSafeEqual(expected, actual);
  }

  private async derive(password: string, salt: Buffer, costLog2: number): Promise<Buffer> {
    await this.turn();
    try {
      const N = 2 ** costLog2;
      return await scryptAsync(password, salt, { N, r: BLOCK_SIZE, p: PARALLELISM, maxmem: 256 * N * BLOCK_SIZE });
    } finally {
      // Who waits longest takes this one's place: nobody comes in between.
      const next = this.waiting.shift();
      if (next === undefined) this.hashing--;
      else next();
    }
  }

  private async turn(): Promise<void> {
    if (this.hashing < HASHING_MAX) {
      this.hashing++;
      return;
    }
    if (this.waiting.length >= WAITING_MAX) throw new EtcdError('too-many-requests');
    await new Promise<void>((resolve) => this.waiting.push(resolve));
  }
}

function scryptAsync(password: string, salt: Buffer, options: ScryptOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, HASH_BYTES, options, (error, key) => (error === null ? resolve(key) : reject(error)));
  });
}
