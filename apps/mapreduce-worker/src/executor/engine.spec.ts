import fc from 'fast-check';
import { SynodError } from '@synod/runtime';
import { index, wordcount } from './built-in-programs';
import { FetchFailedError, type FetchedPiece, type ShuffleClient } from './fetch-outputs';
import { runLocally } from './local-engine';
import { userProgram } from './user-program';

/** The slow, obvious twin: strings and maps, one process, no splits. */
function countSequentially(documents: Readonly<Record<string, Uint8Array | string>>): string[] {
  const counts = new Map<string, number>();
  for (const word of wordsOf(documents).map(([word]) => word)) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].map(([word, count]) => `${word}\t${count}`);
}

function indexSequentially(documents: Readonly<Record<string, Uint8Array | string>>): string[] {
  const lists = new Map<string, Set<string>>();
  for (const [word, name] of wordsOf(documents)) lists.set(word, (lists.get(word) ?? new Set()).add(name));
  return [...lists].map(([word, names]) => `${word}\t${[...names].sort().join(',')}`);
}

function wordsOf(documents: Readonly<Record<string, Uint8Array | string>>): [string, string][] {
  return Object.entries(documents).flatMap(([name, bytes]) =>
    Buffer.from(bytes as Uint8Array)
      .toString('latin1')
      .split(/[\t\n\v\f\r ]+/)
      .filter((word) => word !== '')
      .map((word): [string, string] => [word, name]),
  );
}

/** Lines of all parts; fails unless keys ascend within each part. */
function linesOf(parts: readonly Buffer[]): string[] {
  return parts.flatMap((part) => {
    const lines = part.toString('latin1').split('\n');
    expect(lines.pop()).toBe('');
    const keys = lines.map((line) => line.slice(0, line.indexOf('\t')));
    expect(keys).toEqual([...keys].sort((a, b) => Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1'))));
    return lines;
  });
}

const DOCUMENTS = {
  'b.txt': 'the cat\r\nThe  dog\0 \u00e9t\u00e9 x\nno newline at the end',
  'a,1%.txt': 'the the the\n\nprefix prefixes pre \u6f22\u5b57 \ud83d\ude00\n',
  'empty.txt': '',
  binary: Buffer.from([0xff, 0xfe, 0x20, 0x80, 0x0b, 0xff, 0xfe, 0x0a, 0x00]),
};

describe('wordcount', () => {
  it.each([1, 2, 3, 5, 7, 16, 64, 1_000])('equals a sequential run when split every %i bytes', async (splitBytes) => {
    const { parts, counters } = await runLocally({
      program: wordcount,
      documents: DOCUMENTS,
      splitBytes,
      partitions: 3,
      sortBufferBytes: 4_096, // All fits; the usual one is made anew for each of a hundred maps.
    });
    expect(linesOf(parts).sort()).toEqual(countSequentially(DOCUMENTS).sort());
    const size = Object.values(DOCUMENTS).reduce((sum, bytes) => sum + Buffer.byteLength(bytes), 0);
    expect(counters['map-input-bytes']).toBe(size); // Every byte was read by exactly one map.
  });

  it('equals a sequential run on any bytes, split anywhere, spilled often', async () => {
    const letters = fc.constantFrom(0x61, 0x62, 0x41, 0x20, 0x0a, 0x0d, 0x00, 0xc3, 0xa9, 0xff);
    const document = fc.array(letters, { maxLength: 300 }).map((bytes) => Uint8Array.from(bytes));
    await fc.assert(
      fc.asyncProperty(
        fc.record({ one: document, two: document }),
        fc.integer({ min: 1, max: 80 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 8, max: 200 }),
        async (documents, splitBytes, partitions, sortBufferBytes) => {
          const job = { documents, splitBytes, partitions, sortBufferBytes };
          const counted = await runLocally({ ...job, program: wordcount });
          expect(linesOf(counted.parts).sort()).toEqual(countSequentially(documents).sort());
          const indexed = await runLocally({ ...job, program: index });
          expect(linesOf(indexed.parts).sort()).toEqual(indexSequentially(documents).sort());
        },
      ),
      { numRuns: 15 },
    );
  });

  it('combines: what a map writes is one pair per word, however often it spilled', async () => {
    const documents = { a: 'x y '.repeat(200) };
    const job = { program: wordcount, documents, splitBytes: 1e6, partitions: 1 };
    const { counters } = await runLocally({ ...job, sortBufferBytes: 16 });
    expect(counters).toMatchObject({ 'map-output-pairs': 400, 'map-written-pairs': 2 });
    expect(counters['spills']).toBeGreaterThan(64); // More than are merged at once.
  });

  it('merges more spills than it may open at once', async () => {
    const words = Array.from({ length: 3_000 }, (_, at) => `w${(at * 7919) % 3_000}`);
    const documents = { a: words.join(' ') };
    const job = { program: wordcount, documents, splitBytes: 1e6, partitions: 2 };
    const { parts, counters } = await runLocally({ ...job, sortBufferBytes: 200 });
    expect(counters['spills']).toBeGreaterThan(64);
    expect(linesOf(parts).sort()).toEqual(countSequentially(documents).sort());
  });
});

describe('index', () => {
  it('lists the documents of a word in byte order, with what would break the line escaped', async () => {
    const { parts } = await runLocally({ program: index, documents: DOCUMENTS, splitBytes: 9, partitions: 2 });
    const the = linesOf(parts).find((line) => line.startsWith('the\t'));
    expect(the).toBe('the\ta%2C1%25.txt,b.txt');
  });
});

describe('a user program', () => {
  const longest = userProgram({
    map: (record: { line: string; document: string; offset: number }, emit: (key: string, value: number) => void) => {
      for (const word of record.line.split(' ')) if (word !== '') emit(word.toLowerCase(), record.line.length);
    },
    reduce: (key: string, values: Iterable<string>, emit: (key: string, value: number) => void) => {
      emit(`${key.length}-${key}`, Math.max(...[...values].map(Number)));
    },
    combine: (key: string, values: Iterable<string>, emit: (key: string, value: number) => void) => {
      emit(key, Math.max(...[...values].map(Number)));
    },
  });

  it.each([1, 6, 1_000])(
    'sees whole lines, and its output is sorted whatever it emits (split %i)',
    async (splitBytes) => {
      const documents = { a: 'bb a\nccc bb x\r\n', b: 'a' };
      const { parts } = await runLocally({
        program: longest,
        documents,
        splitBytes,
        partitions: 1,
        sortBufferBytes: 8,
      });
      expect(linesOf(parts)).toEqual(['1-a\t4', '1-x\t8', '2-bb\t8', '3-ccc\t8']);
    },
  );

  function failing(job: object): Promise<unknown> {
    return runLocally({ program: userProgram(job), documents: { d: 'one\ntwo\n' }, splitBytes: 99, partitions: 1 });
  }
  const pass = (record: { line: string }, emit: (key: string, value: string) => void): void => emit(record.line, '1');

  it('that throws is told on which line, or key', async () => {
    await expect(
      failing({
        map: ({ line }: { line: string }): void => {
          if (line === 'two') throw new RangeError('no twos');
        },
        reduce: pass,
      }),
    ).rejects.toThrow(/^map failed on the line at byte 4 of d: RangeError: no twos \(.*engine\.spec\.ts:\d+:\d+\)$/);
    await expect(
      failing({
        map: pass,
        reduce: () => {
          throw new Error('never');
        },
      }),
    ).rejects.toThrow(/^reduce failed on the key "one": Error: never/);
  });

  it.each<[string, object, RegExp]>([
    [
      'emits what is not text',
      { map: (_: unknown, emit: (k: unknown, v: unknown) => void) => emit('k', {}), reduce: pass },
      /emit needs a string or a number as value, not object$/,
    ],
    ['is asynchronous', { map: async () => undefined, reduce: pass }, /it returned a promise; it must be synchronous/],
    [
      'combines under another key',
      {
        map: pass,
        reduce: pass,
        combine: (_: string, __: unknown, emit: (k: string, v: string) => void) => emit('other', '1'),
      },
      /combine must emit under the key it was given, not "other"/,
    ],
    [
      'writes a newline',
      { map: pass, reduce: (key: string, _: unknown, emit: (k: string, v: string) => void) => emit(key, 'a\nb') },
      /holds a newline/,
    ],
  ])('that %s is refused', async (_, job, message) => {
    await expect(failing(job)).rejects.toThrow(message);
  });

  it('without map or reduce is refused at once', () => {
    expect(() => userProgram({ map: pass })).toThrow(/must export default .*; reduce is not a function/);
    expect(() => userProgram(undefined)).toThrow(/map is not a function/);
  });

  it('that emits after its call has returned has no effect', async () => {
    let late: ((key: string, value: string) => void) | undefined;
    const job = {
      map: (record: { line: string }, emit: (key: string, value: string) => void) => {
        late?.('late', '1');
        emit(record.line, '1');
        late = emit;
      },
      reduce: (key: string, values: Iterable<string>, emit: (key: string, value: number) => void) =>
        emit(key, [...values].length),
    };
    const { parts } = (await failing(job)) as { parts: Buffer[] };
    expect(linesOf(parts)).toEqual(['one\t1', 'two\t1']);
  });
});

describe('fetching', () => {
  const documents = { a: Array.from({ length: 500 }, (_, at) => `word${at}`).join(' ') };
  const job = { program: wordcount, documents, splitBytes: 700, partitions: 1 };

  /** A shuffle whose n-th piece goes through `spoil`. */
  function spoiling(spoil: (piece: FetchedPiece, n: number) => FetchedPiece): (real: ShuffleClient) => ShuffleClient {
    let n = 0;
    return (real) => ({
      async *fetch(...request) {
        for await (const piece of real.fetch(...request)) yield spoil(piece, ++n);
      },
    });
  }

  it('resumes a broken stream at the byte where it broke', async () => {
    const { parts, counters } = await runLocally({
      ...job,
      shuffle: spoiling((piece, n) => {
        if (n % 3 === 2 && n < 12) throw new SynodError('unavailable', 'reset');
        return piece;
      }),
    });
    expect(linesOf(parts).sort()).toEqual(countSequentially(documents).sort());
    expect(counters['shuffle-bytes']).toBe(counters['map-written-bytes']);
  });

  it('fetches again what arrived damaged', async () => {
    const { parts } = await runLocally({
      ...job,
      shuffle: spoiling((piece, n) => {
        if (n !== 3) return piece;
        const data = Buffer.from(piece.data);
        data[data.length - 1] = (data[data.length - 1] as number) ^ 1;
        return { ...piece, data };
      }),
    });
    expect(linesOf(parts).sort()).toEqual(countSequentially(documents).sort());
  });

  it('gives up on the one output that arrives damaged every time', async () => {
    const shuffle = spoiling((piece) => {
      if (piece.index !== 0 || piece.data.length === 0) return piece;
      return { ...piece, data: Buffer.from(piece.data).fill(0) };
    });
    await expect(runLocally({ ...job, shuffle })).rejects.toMatchObject({ sources: ['local-m0'] });
  });

  it('gives up after three failures in a row, naming what it still wanted', async () => {
    const refusing = (): ShuffleClient => ({
      fetch: () => {
        throw new SynodError('unavailable', 'connection refused');
      },
    });
    const attempt = runLocally({ ...job, shuffle: refusing });
    await expect(attempt).rejects.toThrow(FetchFailedError);
    await expect(attempt).rejects.toThrow('worker here: connection refused');
  });

  it('takes an output that its worker no longer holds as lost at once', async () => {
    const shuffle = spoiling((piece) => (piece.index === 1 ? { ...piece, missing: true } : piece));
    const attempt = runLocally({ ...job, shuffle });
    await expect(attempt).rejects.toMatchObject({ sources: ['local-m1'] });
  });
});
