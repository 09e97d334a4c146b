import { invariant } from '@synod/invariant';
import { prefixEnd, SynodError } from '@synod/runtime';
import { z } from 'zod';
import type { CoordinationEntry } from './port';

/**
 * The cluster's own metadata: JSON values under one reserved prefix of the coordination store, which only service identities may
 * write. Everything here is a hint or written once; what a shard's members are is said by the shard's own log.
 *
 * | key | value | written by |
 * | --- | --- | --- |
 * | `\0synod/cluster` | `ClusterRecord` | the planner, once |
 * | `\0synod/nodes/<service>/<nodeId>` | `NodeRegistration` | the node, under its lease |
 * | `\0synod/placement/<shard, 5 digits>` | `ShardPlacement` | the planner, once, with the cluster record |
 * | `\0synod/oracle` | `OracleRecord` | the holder of the timestamp oracle |
 */
export const RESERVED_PREFIX = Buffer.from('\0synod/');

export const SERVICES = [
  'consensus',
  'storage-shard',
  'txn-coordinator',
  'mapreduce-master',
  'mapreduce-worker',
] as const;
export type Service = (typeof SERVICES)[number];

/** What the cluster decided when it was founded. Invariant `founding-is-written-once`. */
export interface ClusterRecord {
  readonly clusterId: string;
  /** A power of two, at most 16,384. */
  readonly shardCount: number;
  /** Identity of the hash that maps keys to slots, `SLOT_HASH` of @synod/consistent-hashing: other code must refuse. */
  readonly hash: string;
}

/** A running node, as it announces itself. It is gone when its lease runs out. */
export interface NodeRegistration {
  readonly service: Service;
  readonly nodeId: string;
  /** The random name of its data folder. */
  readonly incarnation: string;
  /** Where clients reach it, `host:port`, as advertised. */
  readonly address: string;
  /** Where peers of its own service reach it, if that is another port. */
  readonly peerAddress?: string | undefined;
  /** As clients of other makes dial it, schemes included; consensus members only. */
  readonly clientUrls?: readonly string[] | undefined;
  /** Metrics and health over HTTP. */
  readonly httpAddress?: string | undefined;
  /** How many shards it holds replicas of; storage nodes only. More than 0 forbids founding. */
  readonly heldShards?: number | undefined;
  /** Failure domain; the node's own by default. */
  readonly zone?: string | undefined;
}

/** A member of a shard's founding configuration. */
export interface PlacedReplica {
  readonly replicaId: number;
  readonly nodeId: string;
  readonly incarnation: string;
}

/** Which nodes found a shard's replicas. `members[0]` is the preferred leader. */
export interface ShardPlacement {
  readonly shard: number;
  readonly version: number;
  readonly members: readonly PlacedReplica[];
}

/** Who serves timestamps, and what they stay below. */
export interface OracleRecord {
  /** Unique per takeover. */
  readonly holder: string;
  readonly bound: bigint;
}

export function clusterKey(): Buffer {
  return reserved('cluster');
}

export function oracleKey(): Buffer {
  return reserved('oracle');
}

/** Prefix of the registrations of one service, or of all. */
export function nodesPrefix(service?: Service): Buffer {
  return reserved(service === undefined ? 'nodes/' : `nodes/${service}/`);
}

export function nodeKey(service: Service, nodeId: string): Buffer {
  return reserved(`nodes/${service}/${nodeId}`);
}

export function placementPrefix(): Buffer {
  return reserved('placement/');
}

export function placementKey(shard: number): Buffer {
  return reserved(`placement/${String(shard).padStart(5, '0')}`);
}

/** The half-open range of all keys with a prefix, as `Coordination.range` and `watch` take it. */
export function prefixRange(prefix: Buffer): { key: Buffer; rangeEnd: Buffer } {
  const rangeEnd = prefixEnd(prefix);
  invariant(rangeEnd !== undefined, 'metadata-prefix-has-end');
  return { key: prefix, rangeEnd };
}

/** How a metadata value becomes bytes and back. */
export interface MetadataCodec<T> {
  encode(value: T): Buffer;
  /** @throws {SynodError} `corrupt` if the value is not what the key promises, naming key and field */
  decode(entry: Pick<CoordinationEntry, 'key' | 'value'>): T;
}

const name = z.string().min(1).max(128);
const address = z.string().min(3).max(300);

export const clusterCodec: MetadataCodec<ClusterRecord> = codec(
  z.object({ clusterId: name, shardCount: z.int().min(1).max(16_384), hash: name }),
);

export const nodeCodec: MetadataCodec<NodeRegistration> = codec(
  z.object({
    service: z.enum(SERVICES),
    nodeId: name,
    incarnation: name,
    address,
    peerAddress: address.optional(),
    clientUrls: z.array(address).max(16).optional(),
    httpAddress: address.optional(),
    heldShards: z.int().min(0).optional(),
    zone: name.optional(),
  }),
);

export const placementCodec: MetadataCodec<ShardPlacement> = codec(
  z.object({
    shard: z.int().min(0).max(16_383),
    version: z.int().min(1),
    members: z.array(z.object({ replicaId: z.int().min(1), nodeId: name, incarnation: name })).min(1),
  }),
);

/** A bound exceeds 2^53: a string of decimal digits in JSON. */
export const oracleCodec: MetadataCodec<OracleRecord> = codec(
  z.object({
    holder: name,
    bound: z
      .string()
      .regex(/^\d{1,20}$/)
      .transform(BigInt),
  }),
);

function reserved(rest: string): Buffer {
  return Buffer.concat([RESERVED_PREFIX, Buffer.from(rest)]);
}

function codec<T>(schema: z.ZodType<T>): MetadataCodec<T> {
  return {
    encode: (value) =>
      Buffer.from(JSON.stringify(value, (_key, field: unknown) => (typeof field === 'bigint' ? String(field) : field))),
    decode: ({ key, value }) => {
      const parsed = schema.safeParse(parseJson(value));
      if (parsed.success) return parsed.data;
      const issue = parsed.error.issues[0];
      const where = issue === undefined || issue.path.length === 0 ? 'value' : issue.path.join('.');
      throw new SynodError(
        'corrupt',
        `metadata key ${JSON.stringify(key.toString())} is damaged at ${where}: ${issue?.message ?? 'unreadable'}`,
      );
    },
  };
}

/** @returns undefined, which no schema accepts, if the bytes are not JSON */
function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}
