/** What a data folder of this service says of itself. The format is that of everything in it. */
export const DATA_FOLDER = { service: 'consensus', format: 1 } as const;

/** Of every key of the group in the node's store; 0x00 is the replica host's own. */
export const STORE_PREFIX = Buffer.from([1]);
