import { parseScript } from './txn-script';

describe('parseScript', () => {
  it('reads gets, puts and deletions with JSON strings, skipping empty lines', () => {
    expect(parseScript('get "a"\n\nput "b \\"x\\"" "1\\n2"\n  del "\\u00e4"\n')).toEqual([
      { kind: 'get', key: Buffer.from('a') },
      { kind: 'put', key: Buffer.from('b "x"'), value: Buffer.from('1\n2') },
      { kind: 'del', key: Buffer.from('ä') },
    ]);
  });

  it.each([
    ['fetch "a"', /line 1 begins with none of get, put, del/],
    ['get "a"\nput "b"', /line 2: put takes 2 JSON string\(s\), 1 given/],
    ['get a', /line 1: not a JSON string: a/],
    ['get ""', /line 1: the key is empty/],
    ['put "k" "v" "w"', /put takes 2 JSON string\(s\), 3 given/],
    ['get "\\q"', /not a JSON string/],
  ])('refuses %j, naming the line', (script, message) => {
    expect(() => parseScript(script)).toThrow(message);
  });
});
