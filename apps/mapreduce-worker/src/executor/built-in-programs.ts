import { escapeDocumentName, forEachWord, WORD_SEPARATORS } from '@synod/mapreduce';
import { readCount, writeCount } from './pair-buffer';
import type { GroupValues } from './pairs';
import type { Program } from './program';

/** Words with their counts. */
export const wordcount: Program = {
  separators: WORD_SEPARATORS,
  folding: 'count',
  map(_document, { bytes }, sink) {
    let words = 0;
    forEachWord(bytes, (start, end) => {
      sink.addCount(bytes, start, end, 1);
      words++;
    });
    return words;
  },
  combine(key, values, emit) {
    const sum = Buffer.allocUnsafe(8);
    writeCount(sum, 0, total(values));
    emit(key, sum);
  },
  reduce: (key, values, emit) => emit(key, Buffer.from(String(total(values)))),
  keepsKeys: true,
};

function total(values: GroupValues): number {
  let sum = 0;
  while (values.next()) sum += readCount(values.bytes, values.start);
  return sum;
}

const COMMA = Buffer.from(',');

/** Words with the documents that hold them. Names travel escaped, so that their order is that of the output. */
export const index: Program = {
  separators: WORD_SEPARATORS,
  folding: 'distinct',
  map(document, { bytes }, sink) {
    const name = escapeDocumentName(document);
    let words = 0;
    forEachWord(bytes, (start, end) => {
      sink.add(bytes, start, end, name);
      words++;
    });
    return words;
  },
  combine(key, values, emit) {
    forEachDistinct(values, (value) => emit(key, value));
  },
  reduce(key, values, emit) {
    const list: Buffer[] = [];
    forEachDistinct(values, (value) => list.push(...(list.length > 0 ? [COMMA, value] : [value])));
    emit(key, Buffer.concat(list));
  },
  keepsKeys: true,
};

/** Values come sorted, so equal ones are neighbours. */
function forEachDistinct(values: GroupValues, visit: (value: Buffer) => void): void {
  let last: Buffer | undefined;
  while (values.next()) {
    const value = values.bytes.subarray(values.start, values.end);
    if (last?.equals(value) === true) continue;
    last = Buffer.from(value);
    visit(last);
  }
}
