// eslint-disable-next-line no-restricted-imports -- the traces are files, so that a person can read them
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Trace } from './testing/trace';

const FOLDER = `${__dirname}/../testdata`;

/** `SYNOD_REWRITE=1` writes what happens today; the difference goes in only once it can be explained. */
const rewrites = process.env['SYNOD_REWRITE'] === '1';

describe('golden traces', () => {
  it.each(readdirSync(FOLDER).filter((name) => name.endsWith('.txt')))('%s', (name) => {
    const path = `${FOLDER}/${name}`;
    const script = readFileSync(path, 'utf8');
    expect(script.startsWith('# ')).toBe(true); // Each opens with the point it makes.
    const actual = Trace.rewrite(script);
    if (rewrites) writeFileSync(path, actual);
    else expect(actual).toBe(script);
  });
});
