import { invariant } from '@synod/invariant';
import type { StoreTransaction } from '@synod/runtime';
import { entryOf, type KeySpace, type Latest, type Meta, type Version } from './key-space';
import type { KeyValue, LeaseId, Revision } from './requests';
import type { Change, ChangeEvent, VersionPlace } from './results';

const NO_BYTES = Buffer.alloc(0);

/**
 * Collects the changes of one command: all of them get one revision, in order. A command that changes nothing uses none up.
 * Invariant `revision-grows-by-one`: two commands never share a revision, and none is skipped.
 */
export class RevisionWriter {
  private readonly events: ChangeEvent[] = [];
  private readonly before: Meta;
  /** That of the changes. */
  private readonly next: Revision;

  constructor(
    readonly keySpace: KeySpace,
    readonly transaction: StoreTransaction,
  ) {
    this.before = keySpace.meta(transaction);
    this.next = this.before.revision + 1n;
  }

  get compacted(): Revision {
    return this.before.compacted;
  }

  /** The store's revision as a read at this point of the command sees it. */
  get revision(): Revision {
    return this.events.length > 0 ? this.next : this.before.revision;
  }

  latest(key: Buffer): Latest | undefined {
    const latest = this.keySpace.latest(this.transaction, key);
    return latest !== undefined && latest.version > 0n ? latest : undefined;
  }

  /** The key with its value, as it is now. */
  entry(key: Buffer): KeyValue | undefined {
    const latest = this.latest(key);
    const version = latest && this.keySpace.version(this.transaction, latest.place);
    return version && entryOf(version);
  }

  put(key: Buffer, value: Buffer, lease: LeaseId): void {
    const replaced = this.keySpace.latest(this.transaction, key);
    const alive = replaced !== undefined && replaced.version > 0n ? replaced : undefined;
    this.moveLease(key, alive?.lease ?? 0n, lease);
    const place = this.nextPlace();
    const version: Version = {
      place,
      key,
      value,
      createRevision: alive?.createRevision ?? place.revision,
      version: (alive?.version ?? 0n) + 1n,
      lease,
      previous: replaced?.place,
    };
    this.add('put', version, alive?.place);
  }

  /** Deletes a key that exists. */
  remove(key: Buffer, alive: Latest): void {
    this.moveLease(key, alive.lease, 0n);
    const place = this.nextPlace();
    const version = { place, key, value: NO_BYTES, createRevision: 0n, version: 0n, lease: 0n, previous: alive.place };
    this.add('delete', version, alive.place);
  }

  /** Makes the revision, if anything changed. @returns the change to show to watchers */
  finish(): Change | undefined {
    if (this.events.length === 0) return undefined;
    const { keySpace, transaction, next: revision } = this;
    const { revision: present, compacted, removedBefore, alarms } = keySpace.meta(transaction);
    invariant(present === this.before.revision, 'revision-grows-by-one', () => `${present} to ${revision}`);
    keySpace.setMeta(transaction, { revision, compacted, removedBefore, alarms });
    return { revision, events: this.events };
  }

  private nextPlace(): VersionPlace {
    return { revision: this.next, sub: this.events.length };
  }

  private add(type: 'put' | 'delete', version: Version, previous: VersionPlace | undefined): void {
    this.keySpace.addVersion(this.transaction, version);
    this.events.push({ type, entry: entryOf(version), previous });
  }

  private moveLease(key: Buffer, from: LeaseId, to: LeaseId): void {
    if (from === to) return;
    if (from !== 0n) this.keySpace.detach(this.transaction, from, key);
    if (to !== 0n) this.keySpace.attach(this.transaction, to, key);
  }
}
