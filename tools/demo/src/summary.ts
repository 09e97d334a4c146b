import type { SynodClient } from '@synod/client';
import type { Report } from './report';

/** Where shards and leaders are, and what each phase measured. */
export async function summary(report: Report, client: SynodClient): Promise<string> {
  const { shards, nodes } = await client.status();
  const lines = ['', 'Placement'];
  for (const { nodeId } of nodes.filter(({ service }) => service === 'storage-shard')) {
    const replicas = shards.filter((shard) => shard.replicas.includes(nodeId)).length;
    const leads = shards.filter(({ leader }) => leader === nodeId).length;
    lines.push(`  ${nodeId}: ${replicas} replicas, leads ${leads} of ${shards.length} shards`);
  }
  lines.push('', 'Phases');
  for (const { name, seconds, ...figures } of report.phases) {
    const shown = Object.entries(figures)
      .map(([figure, value]) => `${figure} ${value}`)
      .join(', ');
    lines.push(`  ${name}`, `    ${seconds} s; ${shown}`);
  }
  lines.push('', 'Checks');
  for (const { name, ok, detail } of report.checks) lines.push(`  ${ok ? 'ok    ' : 'FAILED'} ${name}: ${detail}`);
  return lines.join('\n');
}
