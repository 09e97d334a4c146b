import { VALUE_BYTES_MAX, type SynodClient } from '@synod/client';
import { SynodError, type ErrorKind } from '@synod/runtime';
import { cutAtLineEnds, readCorpus } from './corpus';
import { Latencies, rounded, type Report } from './report';
import type { Document } from './sequential-reference';

const AT_ONCE = 32;
const PREFIX = 'doc/';
/** What a busy machine does to a write. */
const PASSING: readonly ErrorKind[] = ['outcome-unknown', 'unavailable', 'overloaded'];
const TRIES_MAX = 5;

/** Puts every file into the store, then reads all of them back from one snapshot. @returns what the store should hold */
export async function loadText(
  report: Report,
  client: SynodClient,
  corpus: { readonly folder: string; readonly names: readonly string[] },
): Promise<{ stored: Document[]; figures: Record<string, number | string> }> {
  const stored: Document[] = [];
  for await (const { name, bytes } of readCorpus(corpus.folder, corpus.names)) {
    const pieces = cutAtLineEnds(bytes, VALUE_BYTES_MAX);
    for (const [index, piece] of pieces.entries()) {
      stored.push({
        name: `${PREFIX}${name}${pieces.length === 1 ? '' : `#${String(index).padStart(5, '0')}`}`,
        bytes: piece,
      });
    }
  }
  const latencies = new Latencies();
  const startedAt = performance.now();
  let next = 0;
  let done = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let document = stored[next++]; document !== undefined; document = stored[next++]) {
        const { name, bytes } = document;
        await latencies.time(() => write(client, name, bytes));
        if (++done % 500 === 0) report.say(`  ${done} of ${stored.length} documents`);
      }
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  const megabytes = stored.reduce((sum, { bytes }) => sum + bytes.length, 0) / 1e6;

  const expected = new Map(stored.map(({ name, bytes }) => [name, bytes]));
  let wrong = 0;
  for await (const { key, value } of client.kv.rows({ prefix: PREFIX })) {
    const wanted = expected.get(key.toString());
    if (wanted?.equals(value) !== true) wrong++;
    expected.delete(key.toString());
  }
  report.check(
    'load: every document reads back as it was written',
    wrong === 0 && expected.size === 0,
    `${stored.length} documents, ${rounded(megabytes)} MB; ${wrong} differ, ${expected.size} missing`,
  );
  return {
    stored,
    figures: { documents: stored.length, megabytes: rounded(megabytes), ...latencies.figures(seconds) },
  };
}

/** Writes until the answer is a yes. Doing it again is harmless: nobody else writes the key, and the value is the same. */
async function write(client: SynodClient, name: string, bytes: Buffer): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await client.kv.put(name, bytes);
      return;
    } catch (error) {
      const passing = error instanceof SynodError && PASSING.includes(error.kind);
      if (!passing || tries === TRIES_MAX) throw error;
    }
  }
}
