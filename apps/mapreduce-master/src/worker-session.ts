import type { AttemptId, WorkerId } from '@synod/mapreduce';
import type { Connection } from '@synod/runtime';
import type { MasterMessage } from './session-protocol';

/** A worker as the master knows it, from Register to the end of the stream. */
export class WorkerSession {
  /** Attempts that take a slot: assigned and not yet reported as ended. */
  readonly running = new Set<AttemptId>();

  constructor(
    /** Of this session; never used again. */
    readonly id: WorkerId,
    readonly nodeId: string,
    /** Where reducers fetch from it. */
    readonly address: string,
    readonly slots: number,
    private readonly connection: Connection<MasterMessage>,
    /** When it was last heard, monotonic. */
    public heardUs: number,
  ) {}

  get freeSlots(): number {
    return this.slots - this.running.size;
  }

  /** @returns false if the worker does not listen: then it must be given up */
  say(message: MasterMessage): boolean {
    return this.connection.send(message);
  }

  close(): void {
    this.connection.close();
  }
}
