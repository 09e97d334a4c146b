/** What a data folder of this service says of itself. The format is that of everything in it. */
export const DATA_FOLDER = { service: 'consensus', format: 1 } as const;

/** Where the write-ahead log lies in a data folder. */
export const WAL_FOLDER = 'wal';

/** Of every key of the group in the node's store; 0x00 is the replica host's own. */
export const STORE_PREFIX = Buffer.from([1]);
