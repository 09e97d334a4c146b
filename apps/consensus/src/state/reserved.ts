import { RESERVED_PREFIX } from '@synod/coordination';
import { prefixRangeEnd, spanOf } from './span';

/** Where the cluster keeps its own metadata: readable by all, written by services only. */
export const RESERVED = spanOf(RESERVED_PREFIX, prefixRangeEnd(RESERVED_PREFIX));
