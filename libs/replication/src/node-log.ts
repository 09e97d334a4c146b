import { RELEASE, type Disk } from '@synod/runtime';
import type { Instance, Replica, ReplicaId } from '@synod/paxos';
import { Wal, type WalRecord } from '@synod/wal';
import type { Founding, GroupId } from './api';
import { LogIndex } from './log-index';
import { decodeGroupRecord, encodeGroupRecord, RECORD_KIND, type GroupRecord } from './log-records';

/** The segment being written and the one before stay; what is older is given up. */
const SEGMENTS_KEPT = 2;
/** Records said again for one truncation, at most. A group with more of them, which is being brought up to date, keeps the old segments. */
const SAID_AGAIN_BYTES_MAX = 16 << 20;

/** A record of the log and the group it belongs to. */
export interface LoggedRecord {
  readonly group: GroupId;
  readonly record: GroupRecord;
}

/** What must be known of a group before its old records may go. */
export interface LoggedGroup {
  readonly founding: Founding;
  readonly replica: Pick<Replica, 'hardState' | 'recordsAbove' | 'truncatedThrough'>;
  /** The store holds every instance up to here for good. */
  readonly flushedThrough: Instance;
  /** Replicas of it that were destroyed here: their tombstones stay. */
  readonly destroyed: ReadonlySet<ReplicaId>;
}

export interface NodeLogOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly segmentBytes: number;
  /** Called for every record that the log holds, in order, before `open` resolves. */
  readonly onRecord: (logged: LoggedRecord) => void;
}

/**
 * The write-ahead log of a node, for all its groups, cut at its old end. A segment goes when, for every group, each record in it is at or
 * below the group's flushed applied index, or was said again behind it and that is durable: founding, tombstones, promise and truncation index of
 * every group with records there, idle ones too, and what votes are above the index.
 */
export class NodeLog {
  private readonly index = new LogIndex();
  private wal!: Wal;
  private truncating = false;

  private constructor() {}

  /** @throws {SynodError} `corrupt` if the log is rotten, `failed-precondition` if a later release wrote it */
  static async open({ disk, folder, segmentBytes, onRecord }: NodeLogOptions): Promise<NodeLog> {
    const log = new NodeLog();
    log.wal = await Wal.open({
      disk,
      folder,
      segmentBytes,
      release: RELEASE,
      knownKinds: Object.values(RECORD_KIND),
      onRecord: ({ group, kind, payload }, segment) => {
        const record = decodeGroupRecord(group, kind, Buffer.from(payload));
        log.index.note(segment, group, record);
        onRecord({ group, record });
      },
    });
    return log;
  }

  /** Resolves once these and all earlier records are durable. */
  async append(records: readonly LoggedRecord[]): Promise<void> {
    const segment = await this.wal.append(records.map(({ group, record }) => walRecord(group, record)));
    for (const { group, record } of records) this.index.note(segment, group, record);
  }

  /** Gives up the old segments if there are any, and nothing in them is needed. Called now and then, after the store was flushed. */
  async truncate(groups: ReadonlyMap<GroupId, LoggedGroup>): Promise<void> {
    const before = this.wal.currentSegment - SEGMENTS_KEPT + 1;
    if (this.truncating || before <= this.wal.oldestSegment) return;
    const again = this.saidAgain(before, groups);
    if (again === undefined) return;
    this.truncating = true;
    await this.append(again);
    this.truncating = false;
    this.wal.giveUpBefore(before);
    this.index.dropBefore(before);
  }

  close(): Promise<void> {
    return this.wal.close();
  }

  /** What must be said again for the segments before one to go; `undefined` if they must stay for now. */
  private saidAgain(before: number, groups: ReadonlyMap<GroupId, LoggedGroup>): LoggedRecord[] | undefined {
    const again: LoggedRecord[] = [];
    let bytes = 0;
    for (const [id, highest] of this.index.before(before)) {
      const group = groups.get(id);
      if (group === undefined) return undefined; // Not started: nobody knows what of it is needed.
      const { founding, replica, flushedThrough, destroyed } = group;
      again.push({ group: id, record: { kind: 'founded', members: founding.members } });
      for (const replicaId of destroyed) again.push({ group: id, record: { kind: 'destroyed', replicaId } });
      const through = Math.max(this.index.startOf(id), Math.min(highest, flushedThrough));
      for (const record of replica.hardState(through)) again.push({ group: id, record });
      if (highest <= flushedThrough) continue;
      // By a snapshot that is not flushed yet: a crash may undo it, and what was forgotten for it is in the old records alone.
      if (replica.truncatedThrough > flushedThrough) return undefined;
      for (const record of replica.recordsAbove(flushedThrough)) {
        again.push({ group: id, record });
        if ('value' in record) for (const command of record.value) bytes += command.length;
        if (bytes > SAID_AGAIN_BYTES_MAX) return undefined;
      }
    }
    return again;
  }
}

function walRecord(group: GroupId, record: GroupRecord): WalRecord {
  return { kind: RECORD_KIND[record.kind], group, payload: encodeGroupRecord(record) };
}
