import { Command } from 'commander';
import { SLOT_COUNT } from '@synod/consistent-hashing';
import { table } from '../format';
import { withClient, withEndpoints, type EndpointOptions } from '../session';

export function ringCommand(): Command {
  return withEndpoints(new Command('ring'))
    .description('Show which slots each shard has, where its replicas live, who leads it, and how even that is.')
    .option('--json', 'one JSON object')
    .action((options: EndpointOptions & { readonly json?: boolean }) => ring(options));
}

async function ring(options: EndpointOptions & { readonly json?: boolean }): Promise<void> {
  const status = await withClient(options, (client) => client.status());
  const width = SLOT_COUNT / status.cluster.shardCount;
  const shards = status.shards.map(({ shard, replicas, leader }) => ({
    shard,
    slots: { first: shard * width, end: (shard + 1) * width },
    replicas,
    leader: leader ?? null,
  }));
  const balance = balanceOf(
    shards,
    status.nodes.filter(({ service }) => service === 'storage-shard').map(({ nodeId }) => nodeId),
  );
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify({ hash: status.cluster.hash, slots: SLOT_COUNT, shards, balance })}\n`);
    return;
  }
  const rows = shards.map(({ shard, slots, replicas, leader }) => [
    String(shard),
    `${slots.first}–${slots.end - 1}`,
    replicas.join(' '),
    leader ?? '(none)',
  ]);
  process.stdout.write(`${SLOT_COUNT} slots by ${status.cluster.hash}, ${width} to a shard\n\n`);
  process.stdout.write(table([['shard', 'slots', 'replicas', 'leader'], ...rows]));
  const spread = balance.map(({ node, replicas, leaders }) => [node, String(replicas), String(leaders)]);
  process.stdout.write(`\n${table([['node', 'replicas', 'leads'], ...spread])}`);
}

interface Shard {
  readonly replicas: readonly string[];
  readonly leader: string | null;
}

/** How many replicas each node holds, and how many of them lead. */
function balanceOf(
  shards: readonly Shard[],
  running: readonly string[],
): { node: string; replicas: number; leaders: number }[] {
  const nodes = new Set([...running, ...shards.flatMap(({ replicas }) => replicas)]);
  return [...nodes].sort().map((node) => ({
    node,
    replicas: shards.filter(({ replicas }) => replicas.includes(node)).length,
    leaders: shards.filter(({ leader }) => leader === node).length,
  }));
}
