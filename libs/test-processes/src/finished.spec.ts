import { eventually } from '@synod/eventually';
import { finished, isAlive, seen } from '@synod/test-processes';

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

  it('leaves nothing of a program that hangs, and waits for nobody who has its output', async () => {
    /** What the error tells of what was said: a process id. */
    const hanging = async (script: string): Promise<number> => {
      const since = performance.now();
      const error = await finished('sh', ['-c', script], { withinMs: 1_000 }).catch((reason: Error) => reason);
      expect(performance.now() - since).toBeLessThan(30_000);
      const [, pid] =
        /had no end in 1 s; it said at last (\d+)\n$/.exec(error instanceof Error ? error.message : '') ?? [];
      expect(pid).toBeDefined();
      return Number(pid);
    };
    const [child, orphan] = await Promise.all([
      hanging('sleep 60 & echo $!; wait'),
      // It is no child of a program that has ended: its output alone says that it is there.
      hanging('sleep 60 & echo $!'),
    ]);
    const gone = seen(child);
    await eventually('what it started to be gone', () => !isAlive(gone));
    expect(isAlive(seen(orphan))).toBe(true);
    process.kill(orphan, 'SIGKILL');
  });

  it('names a program that is not there', async () => {
    await expect(finished('no-such-program', [])).rejects.toThrow('no-such-program');
  });
});
