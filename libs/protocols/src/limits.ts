// What the sharded store takes. A shard refuses more; clients and coordinators refuse it earlier, naming the mistake before anything is sent.

/** A key has 1 to so many bytes. */
export const KEY_BYTES_MAX = 1_024;
export const VALUE_BYTES_MAX = 1 << 20;
/** Keys and values of one transaction together. */
export const TRANSACTION_BYTES_MAX = 8 << 20;
/** Keys read and written by one transaction. */
export const TRANSACTION_KEYS_MAX = 10_000;
