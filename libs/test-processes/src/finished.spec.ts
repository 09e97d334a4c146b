import { finished } from '@synod/test-processes';

const node = (source: string, options = {}) => finished(process.execPath, ['-e', source], options);

describe('finished', () => {
  it('tells what a program was given, what it printed and what it ended with', async () => {
    const source =
      'process.stdin.pipe(process.stdout); process.stdin.on("end", () => { console.error("over"); process.exitCode = 3; })';
    expect(await node(source, { input: 'in' })).toMatchObject({ code: 3, out: Buffer.from('in'), err: 'over\n' });
    expect(await node(source)).toMatchObject({ code: 3, out: Buffer.alloc(0), err: 'over\n', said: 'over\n' });
  });

  it('does not mind that a program ends before it has read what it is given', async () => {
    const input = Buffer.alloc(1 << 20);
    expect(await node('process.exit(0)', { input })).toMatchObject({ code: 0, said: '' });
  });

  it('interrupts a program that has said what was waited for, and kills one that is no longer wanted', async () => {
    const source = 'process.on("SIGINT", () => process.exit(7)); setInterval(() => console.log("tick"), 1)';
    expect(await node(source, { until: /tick\ntick/ })).toMatchObject({ code: 7 });
    const unwanted = new AbortController();
    const killed = node('setInterval(() => undefined, 1_000)', { signal: unwanted.signal });
    unwanted.abort();
    expect(await killed).toMatchObject({ code: null });
  });

  it('names a program that is not there', async () => {
    await expect(finished('no-such-program', [])).rejects.toThrow('no-such-program');
  });
});
