import type { AttemptId } from '@synod/mapreduce';

/** A finished map output on this worker's disk. */
export interface MapOutput {
  readonly path: string;
  /** Partition `p` is `[offsets[p], offsets[p + 1])` of the file. */
  readonly offsets: readonly number[];
}

/** The map outputs that this worker holds, by attempt. They live as long as the session with the master that asked for them. */
export class MapOutputs {
  private readonly held = new Map<AttemptId, MapOutput>();

  get size(): number {
    return this.held.size;
  }

  add(attempt: AttemptId, output: MapOutput): void {
    this.held.set(attempt, output);
  }

  find(attempt: AttemptId): MapOutput | undefined {
    return this.held.get(attempt);
  }

  /** Serves it no more. The file is its owner's to delete; who streams it reads on. */
  drop(attempt: AttemptId): void {
    this.held.delete(attempt);
  }
}
