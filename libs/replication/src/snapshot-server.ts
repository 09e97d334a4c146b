import type {
  Cancel,
  Connection,
  ConnectionHandler,
  Random,
  Store,
  StoreSnapshot,
  Timers,
  Transport,
} from '@synod/runtime';
import { foundingOf, type ReplicaId } from '@synod/paxos';
import type { GroupConfiguration, GroupId, Member } from './api';
import { readGroupState, slotPrefix } from './group-states';
import { readChunk } from './snapshot-chunk';
import { snapshotProtocol } from './snapshot-codec';
import type { SnapshotDescriptor, SnapshotRequest, SnapshotResponse } from './snapshot-messages';
import { readConfiguration } from './stored-configurations';

/** Views of the store kept at once: each keeps disk space from being used again. One more is refused for now. */
const VIEWS_MAX = 4;
/** A view that nobody asks for is given up: its receiver begins anew. Well above what a broken connection takes to come back. */
const IDLE_US = 30_000_000;
/** One whose last chunk has left, should that have to be sent again. */
const DONE_US = 2_000_000;

/** What the server must know of a group on this node. */
export interface ServedGroup {
  readonly prefix: Buffer;
  /** Of the founding. */
  readonly founders: readonly Member[];
  readonly configuration: GroupConfiguration;
}

/** A snapshot that is being fetched. */
interface Served {
  readonly group: GroupId;
  /** Whose it is. */
  readonly replicaId: ReplicaId;
  readonly view: StoreSnapshot;
  readonly prefix: Buffer;
  readonly snapshot: SnapshotDescriptor;
  expire: Cancel;
}

/**
 * Hands the state of groups to members that lag: chunk by chunk as they are asked for, each read from a view of the store that does not
 * change. Index, configuration and state are read from the same view: invariant `snapshot-is-of-its-index`.
 */
export class SnapshotServer {
  private readonly served = new Map<string, Served>();

  constructor(
    private readonly clusterId: string,
    private readonly ports: { readonly transport: Transport; readonly timers: Timers; readonly random: Random },
    private readonly store: Store,
    private readonly groupOf: (group: GroupId) => ServedGroup | undefined,
  ) {
    ports.transport.serve(snapshotProtocol(), (connection) => this.accept(connection));
  }

  stop(): void {
    for (const id of [...this.served.keys()]) this.release(id);
  }

  private accept(connection: Connection<SnapshotResponse>): ConnectionHandler<SnapshotRequest> {
    // What was being fetched is kept for a while: the receiver may come back.
    return { receive: (request) => void connection.send(this.answer(request)), closed: () => undefined };
  }

  private answer(request: SnapshotRequest): SnapshotResponse {
    const served = request.snapshotId === '' ? this.begin(request) : this.served.get(request.snapshotId);
    if (typeof served === 'string') return { kind: 'refused', reason: served };
    if (served?.group !== request.group) return { kind: 'refused', reason: 'the snapshot is no longer kept' };
    const { view, prefix, snapshot } = served;
    const chunk = readChunk(view, prefix, snapshot, request.after);
    this.keep(served, chunk.last ? DONE_US : IDLE_US);
    return chunk;
  }

  /** @returns why not, as text */
  private begin({ clusterId, group: id, replicaId }: SnapshotRequest): Served | string {
    const group = this.groupOf(id);
    if (clusterId !== this.clusterId || group === undefined) return 'the group is not held here';
    if (!group.configuration.members.some((member) => member.replicaId === replicaId))
      return 'only members are given snapshots';
    this.giveUpFor(id, replicaId);
    if (this.served.size >= VIEWS_MAX) return 'too many snapshots are being fetched';
    const view = this.store.snapshot();
    const { appliedThrough, term, slot } = readGroupState(view, id);
    const snapshotId = this.ports.random.bytes(8).toString('hex');
    const configuration = readConfiguration(view, id) ?? foundingOf(group.founders);
    const snapshot = { snapshotId, appliedThrough, term, configuration };
    const served: Served = {
      group: id,
      replicaId,
      view,
      prefix: slotPrefix(group.prefix, slot),
      snapshot,
      expire: () => undefined,
    };
    this.served.set(snapshotId, served);
    return served;
  }

  /** A member fetches one snapshot of a group at a time: who asks for a new one has lost track of the last, and must not use up all there are. */
  private giveUpFor(group: GroupId, replicaId: ReplicaId): void {
    for (const [id, served] of this.served) {
      if (served.group === group && served.replicaId === replicaId) this.release(id);
    }
  }

  private keep(served: Served, us: number): void {
    served.expire();
    served.expire = this.ports.timers.after(us, () => this.release(served.snapshot.snapshotId));
  }

  private release(id: string): void {
    const served = this.served.get(id);
    this.served.delete(id);
    served?.expire();
    served?.view.release();
  }
}
