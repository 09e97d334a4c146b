/** What a user's `map` is called with: one line of a document. */
export interface MapRecord {
  /** The file's path below the glob's fixed prefix, or the key in the store; bytes that are not UTF-8 are replaced. */
  readonly document: string;
  /** Where the line begins in the document, in bytes. */
  readonly offset: number;
  /** The line without its LF or CRLF; bytes that are not UTF-8 are replaced. */
  readonly line: string;
  /** The line's bytes as they are; a view that is valid during the call only. */
  readonly bytes: Uint8Array;
}

/** Hands on a pair. A number is written in decimal. Has no effect after the call it was given to has returned. */
export type Emit = (key: string | number, value: string | number) => void;

/**
 * A job of a user: what `FILE.ts` exports by default. The functions are synchronous, called in any number of processes, and again
 * for work that was lost; so what they emit must depend on their arguments alone. Then the output is that of a sequential run.
 */
export interface MapReduceJob {
  /** Called for each line. */
  map(record: MapRecord, emit: Emit): void;
  /**
   * Called once for each key, keys of a partition in unsigned byte order of their UTF-8 form, values in that order too. `values` may
   * be walked once, during the call. What it emits becomes lines `key<TAB>value`.
   */
  reduce(key: string, values: Iterable<string>, emit: Emit): void;
  /** Like `reduce`, on the part of a key's values that one machine has, any number of times; emits under the same key. */
  combine?(key: string, values: Iterable<string>, emit: Emit): void;
}
