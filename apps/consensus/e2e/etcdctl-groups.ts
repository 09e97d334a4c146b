import { existsSync } from 'node:fs';
import path from 'node:path';
import { eventually } from '@synod/eventually';
import type { RunOptions } from '@synod/test-processes';
import type { Etcdctl } from './etcdctl';

/** How etcdctl is called, and a folder for what it writes. */
export interface EtcdctlBench {
  readonly etcdctl: Etcdctl;
  /** Of members that run. */
  readonly endpoints: readonly string[];
  /** Who calls, and how, at the other end of a mirror. */
  readonly mirrorFlags: readonly string[];
  readonly folder: string;
  /** Else whoever brings a password is refused for it, and so not tried. */
  readonly usersAreChecked: boolean;
}

/**
 * Runs a command of every group that etcdctl 3.4 has as one user that may do everything; each has to say what it says of an etcd. But for `check`, which
 * has a test of its own.
 * @param name keeps what it writes apart from what another run wrote
 */
export async function runEveryGroup(bench: EtcdctlBench, name: string): Promise<void> {
  const { endpoints, folder, mirrorFlags } = bench;
  const [first = ''] = endpoints;
  const g = `groups/${name}`;
  const etcdctl = async (words: string, options: RunOptions = {}, at = endpoints): Promise<string> =>
    (await bench.etcdctl.at(...at).run(words.split(' '), options)).said;
  const says = async (words: string, expected: RegExp | string, options = {}, at = endpoints): Promise<void> => {
    const said = await etcdctl(words, options, at);
    if (typeof expected === 'string') expect([words, said]).toEqual([words, expected]);
    else expect([words, said]).toEqual([words, expect.stringMatching(expected)]);
  };

  await says(`put ${g}/a 1`, 'OK\n');
  await says(`get ${g}/a`, `${g}/a\n1\n`);
  const txn = `value("${g}/a") = "1"\n\nput ${g}/a 2\nget ${g}/a\n\nget ${g}/a\n\n`;
  await says('txn', `SUCCESS\n\nOK\n\n${g}/a\n2\n`, { input: txn });
  await says('txn', `FAILURE\n\n${g}/a\n2\n`, { input: txn });
  await says(`put ${g}/b 1`, 'OK\n');
  await says(`del ${g}/b`, '1\n');

  const revision = /"revision":(\d+)/.exec(await etcdctl(`get ${g}/a -w json`))?.[1] ?? '';
  const sinceThen = Number(revision);
  await says(`watch ${g}/a --rev ${sinceThen - 3}`, new RegExp(`PUT\n${g}/a\n2`), { until: /\n2\n/ });
  await says(`compaction ${revision}`, `compacted revision ${revision}\n`);
  await says('get x --rev 1', /etcdserver: mvcc: required revision has been compacted/);

  const lease = /lease ([0-9a-f]+) granted with TTL\(60s\)/.exec(await etcdctl('lease grant 60'))?.[1] ?? '';
  await says(`put ${g}/leased 1 --lease ${lease}`, 'OK\n');
  await says(`lease keep-alive --once ${lease}`, `lease ${lease} keepalived with TTL(60)\n`);
  await says(
    `lease timetolive ${lease} --keys`,
    new RegExp(`granted with TTL\\(60s\\).*attached keys\\(\\[${g}/leased\\]\\)`),
  );
  await says('lease list', new RegExp(lease));
  await says(`lease revoke ${lease}`, `lease ${lease} revoked\n`);
  await says(`get ${g}/leased`, '');

  await says(`lock ${g}/lock echo held`, /held\n/);
  await says(`elect ${g}/election me`, new RegExp(`${g}/election/[0-9a-f]+\nme\n`), { until: /\nme\n/ });

  await says('user list', /root\n/);
  await says(`user add ${name}:pw`, `User ${name} created\n`);
  await says(`role add ${name}`, `Role ${name} created\n`);
  await says(`role grant-permission ${name} read ${g}/a`, `Role ${name} updated\n`);
  await says(`user grant-role ${name} ${name}`, `Role ${name} is granted to user ${name}\n`);
  await says(`role get ${name}`, new RegExp(`KV Read:\n\t${g}/a\n`));
  if (bench.usersAreChecked) {
    await says(`--user ${name}:pw get ${g}/a`, `${g}/a\n2\n`);
    await says(`--user ${name}:pw put ${g}/a 3`, /etcdserver: permission denied/);
  }
  await says(`user delete ${name}`, `User ${name} deleted\n`);
  await says(`role delete ${name}`, `Role ${name} deleted\n`);

  await says('member list', /started, n1, /);
  const added = /Member +([0-9a-f]+) added/.exec(
    await etcdctl(`member add ${name} --learner --peer-urls=https://127.0.0.1:1`),
  )?.[1];
  await says(`member remove ${added}`, /removed from cluster/);

  await says('alarm list', '');
  await says('alarm disarm', '');
  await says('defrag', new RegExp(`(Finished defragmenting etcd member.*\n){${endpoints.length}}`));
  await says('endpoint health', new RegExp(`(is healthy.*\n.*){${endpoints.length}}`, 's'));
  await says('endpoint hashkv', new RegExp(`^(\\S+, \\d+\n){${endpoints.length}}$`));
  const file = path.join(folder, `${name}.snapshot`);
  await says(`snapshot save ${file}`, /Snapshot saved at/, {}, [first]);
  expect(existsSync(file)).toBe(true);

  // The mirror writes the number of what it has copied every half a minute only: that it copies shows at the other end.
  const ended = new AbortController();
  const source = bench.etcdctl.at(...endpoints);
  const words = ['make-mirror', `--prefix=${g}/`, `--dest-prefix=mirror/${name}/`, ...mirrorFlags, first];
  const mirror = source.run(words, { signal: ended.signal });
  const copied = async (): Promise<boolean> => (await etcdctl(`get mirror/${name}/a`)) === `mirror/${name}/a\n2\n`;
  await eventually('the mirror to copy', copied);
  ended.abort();
  await mirror;

  const moved = await source.moveLeader();
  expect(moved.said).toBe(moved.expected);
}

export const CHECK_MS_MAX = 300_000;

/**
 * Has etcdctl write what it takes for a small load, and see on the port of clients what memory that takes. (Its other check, `perf`, does the like for
 * a minute, whatever the cluster is.)
 */
export async function checkDataScale({ etcdctl, endpoints }: EtcdctlBench): Promise<void> {
  const [first = ''] = endpoints;
  // Ten thousand puts, which a busy machine has to be given time for.
  const { said } = await etcdctl.at(first).run(['check', 'datascale'], { withinMs: CHECK_MS_MAX });
  expect(said).toMatch(/Approximate system memory used : [\d.]+ MB/);
  expect(await etcdctl.text('get', '--prefix', '/etcdctl-check-datascale/')).toBe('');
}
