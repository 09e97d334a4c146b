import { readFileSync } from 'node:fs';

/**
 * Word count and inverted index as anyone would write them first: one process, one map, no engine. Shares no code with Synod, so that
 * it can say whether Synod is right. Lines are `key<TAB>value`, by unsigned byte order of the key.
 */
export interface Reference {
  /** Word to its decimal count. */
  readonly wordCount: ReadonlyMap<string, string>;
  /** Word to the names of the documents that hold it, in byte order, separated by commas. */
  readonly index: ReadonlyMap<string, string>;
}

/** One document: its name as the output shows it, and its bytes. */
export interface Document {
  readonly name: string;
  readonly bytes: Buffer;
}

/** Words are runs of bytes other than 09–0D and 20. Strings are latin1 here: one character a byte, so comparing them compares bytes. */
export function reference(documents: Iterable<Document>): Reference {
  const counts = new Map<string, number>();
  const holders = new Map<string, Set<string>>();
  for (const { name, bytes } of documents) {
    const shown = name.replaceAll(
      /[\t\n,%]/g,
      (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
    );
    for (const word of bytes.toString('latin1').split(/[\t\n\v\f\r ]+/)) {
      if (word === '') continue;
      counts.set(word, (counts.get(word) ?? 0) + 1);
      const known = holders.get(word);
      if (known === undefined) holders.set(word, new Set([shown]));
      else known.add(shown);
    }
  }
  return {
    wordCount: new Map([...counts].map(([word, count]) => [word, String(count)])),
    index: new Map([...holders].map(([word, names]) => [word, [...names].sort().join(',')])),
  };
}

/**
 * Compares what an engine wrote with what it should have.
 * @param parts the output files, each to be sorted by key within itself, no key in two of them
 * @returns what is wrong, or undefined
 */
export function difference(parts: readonly string[], expected: ReadonlyMap<string, string>): string | undefined {
  let seen = 0;
  for (const part of parts) {
    let previous: string | undefined;
    const text = readFileSync(part, 'latin1');
    if (text !== '' && !text.endsWith('\n')) return `${part} ends in the middle of a line`;
    for (const line of text.split('\n').slice(0, -1)) {
      const tab = line.indexOf('\t');
      const key = line.slice(0, tab);
      if (previous !== undefined && previous >= key) return `${part} is not in byte order at ${JSON.stringify(key)}`;
      previous = key;
      seen++;
      const value = expected.get(key);
      if (value !== line.slice(tab + 1)) {
        return `${part} says ${JSON.stringify(line.slice(0, 200))}, it should be ${JSON.stringify(value?.slice(0, 200))}`;
      }
    }
  }
  return seen === expected.size ? undefined : `${seen} keys were written, ${expected.size} expected`;
}
