import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { SERVICES } from '@synod/coordination';
import { SynodError } from '@synod/runtime';
import type { ClusterPlan } from './cluster-plan';

const FILE = 'cluster.json';
const FORMAT = 1;

const portSchema = z.number().int().min(1).max(65_535);
const clusterFile = z.object({
  format: z.literal(FORMAT),
  processes: z.array(
    z.object({
      service: z.enum(SERVICES),
      id: z.string().min(1),
      ports: z.object({ client: portSchema, peer: portSchema.optional(), http: portSchema }),
    }),
  ),
});

/**
 * The plan of the cluster in `folder`: the one written at its first start, else `first()`, written now.
 * Processes that start at the same moment agree: the file is created exclusively, and who loses reads the winner's.
 * @throws {SynodError} `failed-precondition` if the file is not one this release understands
 */
export async function planOf(folder: string, first: () => Promise<ClusterPlan>): Promise<ClusterPlan> {
  await mkdir(folder, { recursive: true });
  const file = path.join(folder, FILE);
  const existing = await read(file);
  if (existing !== undefined) return existing;
  const plan = await first();
  const draft = `${file}.${process.pid}`;
  await writeFile(draft, `${JSON.stringify({ format: FORMAT, ...plan }, null, 2)}\n`, { flush: true });
  try {
    // Unlike a rename, a link fails if somebody has taken the name meanwhile.
    await link(draft, file);
    return plan;
  } catch (error) {
    const winner = await read(file);
    if (winner === undefined) throw error;
    return winner;
  } finally {
    await rm(draft, { force: true });
  }
}

async function read(file: string): Promise<ClusterPlan | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const parsed = clusterFile.safeParse(jsonOf(text));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new SynodError(
      'failed-precondition',
      `${file} is not a cluster file of format ${FORMAT} (${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}); use another --data folder or the release that wrote it`,
    );
  }
  return {
    processes: parsed.data.processes.map(({ service, id, ports: { client, peer, http } }) => ({
      service,
      id,
      ports: { client, http, ...(peer === undefined ? {} : { peer }) },
    })),
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
