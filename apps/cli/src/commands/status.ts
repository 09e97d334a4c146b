import { Command } from 'commander';
import { table } from '../format';
import { withClient, withEndpoints, type EndpointOptions } from '../session';

export function statusCommand(): Command {
  return withEndpoints(new Command('status'))
    .description('Show the nodes of the cluster and whether every shard has a leader.')
    .option('--json', 'one JSON object')
    .action((options: EndpointOptions & { readonly json?: boolean }) => status(options));
}

async function status(options: EndpointOptions & { readonly json?: boolean }): Promise<void> {
  const { cluster, nodes, shards } = await withClient(options, (client) => client.status());
  const led = shards.filter(({ leader }) => leader !== undefined);
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify({ cluster, nodes, shards: { count: shards.length, led: led.length } })}\n`);
    return;
  }
  process.stdout.write(`cluster ${cluster.clusterId}: ${led.length} of ${shards.length} shards have a leader\n\n`);
  const rows = nodes.map(({ service, nodeId, address, httpAddress }) => {
    const leads = shards.filter(({ leader }) => leader === nodeId).length;
    return [service, nodeId, address, httpAddress ?? '', service === 'storage-shard' ? String(leads) : ''];
  });
  process.stdout.write(table([['service', 'node', 'address', 'http', 'leads'], ...rows]));
}
