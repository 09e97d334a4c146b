/** A key of the coordination store. */
export interface CoordinationEntry {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
  readonly version: bigint;
  /** 0n if no lease is attached. */
  readonly lease: bigint;
}

/** One comparison of a transaction: all must hold for `success` to run. An absent key has every revision 0. */
export interface Compare {
  readonly key: Buffer;
  readonly target: 'create-revision' | 'mod-revision' | 'version';
  readonly equals: bigint;
}

export type Operation =
  | { readonly kind: 'put'; readonly key: Buffer; readonly value: Buffer; readonly lease?: bigint }
  /** `rangeEnd` absent: one key. */
  | { readonly kind: 'delete'; readonly key: Buffer; readonly rangeEnd?: Buffer }
  | { readonly kind: 'range'; readonly key: Buffer; readonly rangeEnd?: Buffer };

export interface TransactionResult {
  readonly revision: bigint;
  readonly succeeded: boolean;
  /** One per operation that ran; empty for puts and deletes. */
  readonly ranges: readonly (readonly CoordinationEntry[])[];
}

export interface CoordinationEvent {
  readonly type: 'put' | 'delete';
  readonly entry: CoordinationEntry;
}

export interface WatchHandler {
  /** All events of one revision together, revisions in order, none lost from `startRevision` on. */
  events(events: readonly CoordinationEvent[], revision: bigint): void;
  /** The history before the next event was compacted away: read the range again and watch from there. The watch has ended. */
  compacted(revision: bigint): void;
}

/**
 * The coordination store as the other services use it: the etcd v3 API, reduced to what they need. Implemented over gRPC for
 * real clusters and over the simulated network. Calls reject with `SynodError`: `unavailable` (nothing was done, or it was a read),
 * `outcome-unknown` (a write may have been done).
 */
export interface Coordination {
  /** Linearizable. */
  range(key: Buffer, rangeEnd?: Buffer): Promise<{ revision: bigint; entries: readonly CoordinationEntry[] }>;
  transaction(request: {
    readonly compare: readonly Compare[];
    readonly success: readonly Operation[];
    readonly failure: readonly Operation[];
  }): Promise<TransactionResult>;
  grantLease(ttlSeconds: number): Promise<bigint>;
  /** @returns remaining seconds; 0 if the lease is gone */
  keepLeaseAlive(lease: bigint): Promise<number>;
  revokeLease(lease: bigint): Promise<void>;
  /** Survives reconnects by itself. @returns ends the watch */
  watch(range: { key: Buffer; rangeEnd?: Buffer; startRevision: bigint }, handler: WatchHandler): () => void;
}
