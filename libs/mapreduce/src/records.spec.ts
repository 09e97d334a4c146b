import fc from 'fast-check';
import { recordChunks, RecordTooLongError, type RecordLimits } from './records';
import { forEachLine, forEachWord, LINE_SEPARATORS, WORD_SEPARATORS, type Separators } from './separators';
import { bytesSource } from './simulated-input';
import { planSplits } from './splits';

const LIMITS: RecordLimits = { blockBytes: 16, recordBytesMax: 4096 };

function readRange(bytes: Uint8Array, start: number, end: number, table: Separators, limits = LIMITS): string[] {
  const chunks: string[] = [];
  for (const chunk of recordChunks(bytesSource(bytes), { start, end }, table, limits)) {
    const copy = Buffer.from(chunk.bytes);
    expect(Buffer.compare(copy, Buffer.from(bytes.subarray(chunk.offset, chunk.offset + copy.length)))).toBe(0);
    chunks.push(copy.toString('latin1'));
  }
  return chunks;
}

function words(chunks: readonly string[]): string[] {
  return chunks.flatMap((chunk) => {
    const bytes = Buffer.from(chunk, 'latin1');
    const found: string[] = [];
    forEachWord(bytes, (start, end) => found.push(bytes.toString('latin1', start, end)));
    return found;
  });
}

function lines(chunks: readonly string[]): string[] {
  return chunks.flatMap((chunk) => {
    const bytes = Buffer.from(chunk, 'latin1');
    const found: string[] = [];
    forEachLine(bytes, (start, end) => found.push(bytes.toString('latin1', start, end)));
    return found;
  });
}

const TEXTS: readonly (readonly [string, Buffer])[] = [
  ['plain lines', Buffer.from('one two\nthree\n\nfour five six\n')],
  ['no newline at the end', Buffer.from('one two\nthree')],
  ['CRLF', Buffer.from('one\r\ntwo three\r\n\r\nfour\r\n')],
  ['NUL and other control bytes', Buffer.from('a\0b \0\nc\u001f\u0085d\n')],
  ['multi-byte characters', Buffer.from('é€😀 ß\n漢字 かな\n')],
  ['bytes that are not UTF-8', Buffer.from([0xff, 0xfe, 0x20, 0x80, 0x0a, 0xc3, 0x28, 0x0a])],
  ['separators only', Buffer.from(' \n\t\r\n\u000b\u000c \n')],
  ['a single record', Buffer.from('abcdefghijklmnopqrstuvwxyz')],
  ['empty', Buffer.alloc(0)],
];

describe('recordChunks', () => {
  describe.each(TEXTS)('on %s', (_, bytes) => {
    it.each([
      ['lines', LINE_SEPARATORS],
      ['words', WORD_SEPARATORS],
    ])('yields the same bytes in the same order for every split size (%s)', (_name, table) => {
      for (let splitBytes = 1; splitBytes <= bytes.length + 1; splitBytes++) {
        const chunks = planSplits([bytes.length], splitBytes).flatMap((split) =>
          split.flatMap(({ start, end }) => readRange(bytes, start, end, table)),
        );
        expect(chunks.join('')).toBe(bytes.toString('latin1'));
        // No chunk but the last may end inside a record.
        for (const chunk of chunks.slice(0, -1)) expect(table[chunk.charCodeAt(chunk.length - 1)]).toBe(1);
      }
    });
  });

  it('finds the words and lines that a sequential program finds, wherever the cuts fall', () => {
    const byte = fc.constantFrom(0x61, 0x62, 0x20, 0x0a, 0x0d, 0x09, 0x0b, 0x00, 0xc3, 0xa9);
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }).chain((any) =>
          fc.oneof(
            fc.constant(any),
            fc.array(byte).map((b) => Uint8Array.from(b)),
          ),
        ),
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 20 }),
        (bytes, splitBytes, blockBytes) => {
          const limits = { blockBytes, recordBytesMax: 4096 };
          const text = Buffer.from(bytes).toString('latin1');
          const read = (table: Separators): string[] =>
            planSplits([bytes.length], splitBytes).flatMap((split) =>
              split.flatMap(({ start, end }) => readRange(bytes, start, end, table, limits)),
            );
          expect(words(read(WORD_SEPARATORS))).toEqual(text.split(/[\t\n\v\f\r ]+/).filter((word) => word !== ''));
          const expected = text.split('\n').map((line) => line.replace(/\r$/, ''));
          // What follows the last LF is a line only if it is not empty; a CR without LF is data.
          if (text.endsWith('\n') || text === '') expected.pop();
          else expected[expected.length - 1] = text.slice(text.lastIndexOf('\n') + 1);
          expect(lines(read(LINE_SEPARATORS))).toEqual(expected);
        },
      ),
    );
  });

  it('reads a document that shrank to its end, and ignores what was appended since', () => {
    const bytes = Buffer.from('one\ntwo\nthree\n');
    expect(readRange(bytes, 4, 400, LINE_SEPARATORS).join('')).toBe('two\nthree\n');
    expect(readRange(bytes, 0, 8, LINE_SEPARATORS).join('')).toBe('one\ntwo\n');
  });

  it('refuses a record that does not fit in memory, naming where it begins', () => {
    const bytes = Buffer.concat([Buffer.from('ok\n'), Buffer.alloc(5000, 0x78)]);
    expect(() => readRange(bytes, 0, bytes.length, LINE_SEPARATORS)).toThrow(new RecordTooLongError(3, 4096));
  });
});

describe('planSplits', () => {
  it('cuts large documents, lets small ones share a split, and leaves empty ones out', () => {
    expect(planSplits([250, 0, 30, 40, 60], 100)).toEqual([
      [{ document: 0, start: 0, end: 100 }],
      [{ document: 0, start: 100, end: 200 }],
      [
        { document: 0, start: 200, end: 250 },
        { document: 2, start: 0, end: 30 },
      ],
      [
        { document: 3, start: 0, end: 40 },
        { document: 4, start: 0, end: 60 },
      ],
    ]);
  });
});
