import { eventually } from '@synod/eventually';
import { finished, type Finished, type RunOptions } from '@synod/test-processes';

/** More than anything takes, also on a busy machine; what is to fail is given less. */
const PATIENCE = ['--command-timeout=20s', '--dial-timeout=20s'];

/** etcd's own client, towards some endpoints and as some user. Where it is missing, `whereInstalled('etcdctl', …)` leaves tests out. */
export class Etcdctl {
  constructor(
    private readonly endpoints: () => readonly string[],
    private readonly flags: readonly string[] = [],
  ) {}

  /** The same towards others. */
  at(...endpoints: string[]): Etcdctl {
    return new Etcdctl(() => endpoints, this.flags);
  }

  /** The same with more flags, such as who calls. */
  with(...flags: string[]): Etcdctl {
    return new Etcdctl(this.endpoints, [...this.flags, ...flags]);
  }

  /** Runs a command to its end, whatever comes of it. */
  run(words: readonly string[], options: RunOptions = {}): Promise<Finished> {
    const flags = ['--endpoints', this.endpoints().join(), ...PATIENCE, ...this.flags];
    return finished('etcdctl', [...flags, ...words], { ...options, env: { ETCDCTL_API: '3', ...options.env } });
  }

  /** What a command printed, on either stream, whatever came of it. */
  async said(...words: string[]): Promise<string> {
    return (await this.run(words)).said;
  }

  /** What a command printed that must succeed. */
  async text(...words: string[]): Promise<string> {
    const { code, out, err } = await this.run(words);
    if (code !== 0) throw new Error(`etcdctl ${words.join(' ')}: ${err}`);
    return out.toString();
  }

  /** The same, by lines. */
  async lines(...words: string[]): Promise<string[]> {
    return (await this.text(...words)).split('\n').filter((line) => line !== '');
  }

  async json(...words: string[]): Promise<Record<string, unknown>> {
    return JSON.parse(await this.text(...words, '-w', 'json')) as Record<string, unknown>;
  }

  /** Why a command is refused, which it must be. */
  async refusal(...words: string[]): Promise<string> {
    const { code, said } = await this.run(words);
    expect([words, code]).not.toEqual([words, 0]);
    const [, error, canceled] = /Error: (.*)|canceled \((.*)\)/.exec(said) ?? [];
    return error ?? canceled ?? said;
  }

  /** Until a command succeeds whose outcome is unknown when the leader changes. */
  async persist(...words: string[]): Promise<string> {
    const done = await eventually(`etcdctl ${words.join(' ')} to succeed`, async () => {
      const { code, out } = await this.run(words);
      return code === 0 && out;
    });
    return done.toString();
  }

  /** The endpoint that leads now, and the id of its member; there is one sooner or later. */
  async leading(): Promise<{ readonly endpoint: string; readonly id: string }> {
    return eventually('a leader', async () => {
      const [endpoint, id] = (await this.status()).find(([, , , , leads]) => leads === 'true') ?? [];
      return endpoint !== undefined && id !== undefined && { endpoint, id };
    });
  }

  /**
   * Moves leadership to a follower. What is answered to have been moved has been moved: all of it is done again only if it was refused, or if an
   * election came after it, which shows in a term that has grown by more than the one that the move takes.
   * @returns who leads now, and what was said
   */
  async moveLeader(): Promise<{ readonly endpoint: string; readonly said: string; readonly expected: string }> {
    return eventually('a leader that stays one until it is moved', async () => {
      const before = await this.status();
      const [from, to] = ['true', 'false'].map((leads) => before.find((row) => row[4] === leads));
      if (from === undefined || to === undefined) return undefined;
      const [[endpoint = '', id = ''], [target = '', targetId = '']] = [from, to];
      const said = await this.at(endpoint).said('move-leader', targetId);
      if (!said.startsWith('Leadership transferred')) return undefined;
      const next = await eventually(`${target} to lead, as ${endpoint} said, or another election`, async () => {
        const now = await this.status();
        if (now.some(([each, , , , leads]) => each === target && leads === 'true')) return 'it leads';
        return termOf(now) > termOf(before) + 1 && 'another election';
      });
      const expected = `Leadership transferred from ${id} to ${targetId}\n`;
      return next === 'it leads' && { endpoint: target, said, expected };
    });
  }

  /** Of each endpoint that answers: itself, its member's id, release, size, whether it leads, whether it learns, its term, and so on. */
  async status(): Promise<string[][]> {
    return (await this.run(['endpoint', 'status'])).out
      .toString()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split(', '));
  }
}

/** The highest that any of them knows. */
function termOf(rows: readonly string[][]): number {
  return Math.max(...rows.map((row) => Number(row[6])));
}
