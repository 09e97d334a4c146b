import { hashKey, partitionOf } from './partition';
import { recordChunks, type ByteSource } from './records';
import { forEachWord, WORD_SEPARATORS } from './separators';
import type { SimulatedTime } from './simulated-time';
import { planSplits, type Split } from './splits';

/** Word counts of one map output, one map for each partition. */
export type PartitionCounts = readonly ReadonlyMap<string, number>[];

const ALPHABET = ['a', 'b', 'B', 'é', '€', 'x-y', '0', 'ß', '\u0000', 'a', 'b'];
const GAPS = [' ', '\n', '\r\n', '\t', '  ', '\n\n', '\u000b', ' '];

/** A small input for word counting, how it is split, and what a sequential run makes of it. */
export class SimulatedInput {
  readonly splits: readonly Split[];
  private readonly texts: readonly string[];
  private readonly documents: readonly Uint8Array[];
  private readonly computed = new Map<number, PartitionCounts>();

  constructor(
    time: SimulatedTime,
    readonly partitions: number,
  ) {
    this.texts = Array.from({ length: 1 + time.below(5) }, () => text(time));
    this.documents = this.texts.map((each) => new TextEncoder().encode(each));
    this.splits = planSplits(
      this.documents.map(({ length }) => length),
      1 + time.below(60),
    );
  }

  /** What a map attempt computes: always the same. */
  map(split: number): PartitionCounts {
    const known = this.computed.get(split) ?? this.compute(split);
    this.computed.set(split, known);
    return known;
  }

  /** With the engine's own record, word and partition rules. */
  private compute(split: number): PartitionCounts {
    const counts = Array.from({ length: this.partitions }, () => new Map<string, number>());
    for (const range of this.splits[split] ?? []) {
      const source = bytesSource(this.documents[range.document] as Uint8Array);
      for (const { bytes } of recordChunks(source, range, WORD_SEPARATORS, { blockBytes: 16, recordBytesMax: 4096 })) {
        forEachWord(bytes, (start, end) => {
          const part = counts[partitionOf(hashKey(bytes, start, end), this.partitions)] as Map<string, number>;
          const word = new TextDecoder().decode(bytes.slice(start, end));
          part.set(word, (part.get(word) ?? 0) + 1);
        });
      }
    }
    return counts;
  }

  /** The slow, obvious twin: no bytes, no splits, no partitions. */
  sequential(): string[] {
    const counts = new Map<string, number>();
    const words = this.texts.flatMap((each) => each.split(/[\t\n\v\f\r ]+/));
    for (const word of words) if (word !== '') counts.set(word, (counts.get(word) ?? 0) + 1);
    return outputLines(counts);
  }
}

export function outputLines(counts: ReadonlyMap<string, number>): string[] {
  return [...counts].map(([word, count]) => `${word}\t${count}`).sort();
}

export function bytesSource(bytes: Uint8Array): ByteSource {
  return {
    read: (offset, into) => {
      const piece = bytes.subarray(offset, offset + into.length);
      into.set(piece);
      return piece.length;
    },
  };
}

function text(time: SimulatedTime): string {
  let made = '';
  for (let words = time.below(40); words > 0; words--) {
    for (let letters = 1 + time.below(4); letters > 0; letters--) made += time.pick(ALPHABET) ?? '';
    made += time.pick(GAPS) ?? '';
  }
  return made + (time.chance(500) ? 'end' : '');
}
