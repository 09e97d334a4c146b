import { DEFAULT_LOG_LIMITS, type LogLimits } from '@synod/replication';
import { Draws } from '@synod/simulation';

/** In most seeds logs are cut again and again, and who was away for a moment needs a snapshot. */
export function drawLogLimits(seed: number): LogLimits {
  const draws = new Draws(seed, 'plan', 'log limits');
  if (draws.chance(1, 4)) return DEFAULT_LOG_LIMITS;
  return {
    segmentBytes: draws.pick([4 << 10, 16 << 10, 64 << 10]),
    tailInstances: draws.pick([0, 3, 20]),
    tailBytes: draws.pick([1 << 10, 1 << 20]),
  };
}
