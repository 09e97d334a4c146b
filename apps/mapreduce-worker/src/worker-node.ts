import type { Cancel } from '@synod/runtime';
import { MasterSession, type MasterSessionParts, type WorkerIdentity } from './master-session';

/** The masters that run now, by address, as they register with the cluster. */
export interface MasterDirectory {
  masters(): readonly string[];
  onChange(listener: () => void): Cancel;
}

/** A worker: one session with each master, all sharing its executors. */
export class WorkerNode {
  private readonly sessions = new Map<string, MasterSession>();
  private unfollow: Cancel = () => undefined;

  constructor(
    private readonly parts: MasterSessionParts,
    private readonly identity: WorkerIdentity,
    private readonly directory: MasterDirectory,
  ) {}

  /** Sessions whose stream is open or being opened. */
  get connectedMasters(): number {
    return [...this.sessions.values()].filter((session) => session.connected).length;
  }

  start(): void {
    this.unfollow = this.directory.onChange(() => this.follow());
    this.follow();
  }

  stop(): void {
    this.unfollow();
    for (const session of this.sessions.values()) session.stop();
    this.sessions.clear();
  }

  private follow(): void {
    const masters = this.directory.masters();
    for (const address of masters) {
      if (this.sessions.has(address)) continue;
      const session = new MasterSession(this.parts, this.identity, address);
      this.sessions.set(address, session);
      session.start();
    }
    for (const [address, session] of this.sessions) {
      // A master that is not listed but still talks has only lost its lease for a moment.
      if (masters.includes(address) || session.connected) continue;
      session.stop();
      this.sessions.delete(address);
    }
  }
}
