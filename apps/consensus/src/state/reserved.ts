import { prefixEnd, type Span } from './span';

/** Where the cluster keeps its own metadata: readable by all, written by services only. */
export const RESERVED_PREFIX = Buffer.from('\0synod/');

export const RESERVED: Span = { start: RESERVED_PREFIX, end: prefixEnd(RESERVED_PREFIX) };
