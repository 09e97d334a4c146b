import { comparePairs, type PairCursor } from './pairs';

const NOTHING: PairCursor = {
  bytes: Buffer.alloc(0),
  keyStart: 0,
  keyEnd: 0,
  valueStart: 0,
  valueEnd: 0,
  advance: () => false,
};

/**
 * Several sorted cursors as one: a binary heap ordered by what each stands on. (Knuth, TAOCP vol. 3, §5.4.1: multiway merging.)
 */
export class MergedPairs implements PairCursor {
  private readonly heap: PairCursor[] = [];
  private started = false;
  private top: PairCursor = NOTHING;

  /** @param visited called for each pair */
  constructor(
    private readonly sources: readonly PairCursor[],
    private readonly visited: () => void = () => undefined,
  ) {}

  get bytes(): Buffer {
    return this.top.bytes;
  }

  get keyStart(): number {
    return this.top.keyStart;
  }

  get keyEnd(): number {
    return this.top.keyEnd;
  }

  get valueStart(): number {
    return this.top.valueStart;
  }

  get valueEnd(): number {
    return this.top.valueEnd;
  }

  advance(): boolean {
    if (!this.started) this.start();
    else if (this.heap.length > 0 && !this.top.advance()) {
      const last = this.heap.pop() as PairCursor;
      if (this.heap.length > 0) this.heap[0] = last;
    }
    if (this.heap.length === 0) return false;
    this.sink(0);
    this.top = this.heap[0] as PairCursor;
    this.visited();
    return true;
  }

  private start(): void {
    this.started = true;
    for (const source of this.sources) if (source.advance()) this.heap.push(source);
    for (let at = (this.heap.length >> 1) - 1; at >= 0; at--) this.sink(at);
  }

  private sink(from: number): void {
    const { heap } = this;
    const moving = heap[from] as PairCursor;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && comparePairs(heap[child + 1] as PairCursor, heap[child] as PairCursor) < 0)
        child++;
      if (comparePairs(moving, heap[child] as PairCursor) <= 0) break;
      heap[at] = heap[child] as PairCursor;
      at = child;
    }
    heap[at] = moving;
  }
}
