import { randomBytes, randomInt } from 'node:crypto';
import type { Random } from './random';

/** The operating system's chance. */
export const systemRandom: Random = {
  below: (bound) => randomInt(bound),
  bytes: (length) => randomBytes(length),
};
