import type { Store, Timers } from '@synod/runtime';
import { EtcdError } from './state/errors';
import type { KeySpace } from './state/key-space';
import { StateSnapshot } from './state-snapshot';

/** Each keeps pages of the store from being used again. */
const VIEWS_MAX = 4;

/** Views of this member's state as it is, each to be read over many turns. */
export class SnapshotViews {
  private open_ = 0;

  constructor(
    private readonly store: Store,
    private readonly keySpace: KeySpace,
    private readonly timers: Timers,
  ) {}

  /**
   * To be released.
   * @throws {EtcdError} `too-many-requests`
   */
  open(): StateSnapshot {
    if (this.open_ >= VIEWS_MAX) throw new EtcdError('too-many-requests');
    this.open_++;
    const reader = this.store.snapshot();
    let isOpen = true;
    const release = (): void => {
      if (!isOpen) return;
      isOpen = false;
      this.open_--;
      reader.release();
    };
    const pause = (): Promise<void> => new Promise((resolve) => this.timers.after(0, resolve));
    // With a key space of its own: should a snapshot take the place of the state, this one stays where it is.
    return new StateSnapshot(this.keySpace.copy(), { ...reader, release }, pause);
  }

  /** Reads such a view, and releases it. */
  async with<T>(read: (snapshot: StateSnapshot) => Promise<T>): Promise<T> {
    const snapshot = this.open();
    try {
      return await read(snapshot);
    } finally {
      snapshot.release();
    }
  }
}
