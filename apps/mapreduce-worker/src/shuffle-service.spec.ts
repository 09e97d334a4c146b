import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { formatAddress, GrpcChannels, GrpcServer } from '@synod/rpc';
import { silentLog } from '@synod/runtime';
import type { FetchedPiece } from './executor/fetch-outputs';
import { grpcShuffle } from './executor/grpc-shuffle';
import { MapOutputs } from './map-outputs';
import { shuffleService } from './shuffle-service';

let folder: string;
let file: string;
let address: string;
const outputs = new MapOutputs();
const channels = new GrpcChannels();
const server = new GrpcServer({ log: silentLog, fault: () => undefined });
let served = 0;

beforeAll(async () => {
  server.addService(
    'synod.mapreduce.v1.Shuffle',
    shuffleService(outputs, (bytes) => (served += bytes)),
  );
  address = formatAddress(await server.listen('127.0.0.1:0'));
});
afterAll(async () => {
  channels.close();
  await server.stop({ drainMs: 0 });
});

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'synod-shuffle-'));
  file = path.join(folder, 'run');
  // Partition 0 is 600,000 bytes of 'a', partition 1 is empty, partition 2 is "end".
  writeFileSync(file, Buffer.concat([Buffer.alloc(600_000, 'a'), Buffer.from('end')]));
  outputs.add('j-m00000.1', { path: file, offsets: [0, 600_000, 600_000, 600_003] });
  served = 0;
});
afterEach(() => rmSync(folder, { recursive: true }));

async function fetch(partition: number, ...sources: { attempt: string; offset: number }[]): Promise<FetchedPiece[]> {
  const pieces: FetchedPiece[] = [];
  const { signal } = new AbortController();
  for await (const piece of grpcShuffle(channels).fetch(address, { partition, sources }, signal)) pieces.push(piece);
  return pieces;
}

describe('the shuffle', () => {
  it('serves a partition in messages of at most 256 KiB, the last one marked', async () => {
    const pieces = await fetch(0, { attempt: 'j-m00000.1', offset: 0 });
    expect(pieces.map(({ data, last }) => [data.length, last])).toEqual([
      [262_144, false],
      [262_144, false],
      [75_712, true],
    ]);
    expect(served).toBe(600_000);
  });

  it('continues at an offset', async () => {
    const [piece] = await fetch(2, { attempt: 'j-m00000.1', offset: 1 });
    expect(Buffer.from(piece?.data ?? []).toString()).toBe('nd');
  });

  it('answers for each source in turn, empty and missing ones too', async () => {
    const pieces = await fetch(1, { attempt: 'gone', offset: 0 }, { attempt: 'j-m00000.1', offset: 0 });
    expect(pieces.map(({ index, missing, last }) => [index, missing, last])).toEqual([
      [0, true, true],
      [1, false, true],
    ]);
  });

  it.each([
    ['was cut', () => truncateSync(file, 600_001)],
    ['was deleted', () => rmSync(file)],
    ['was dropped', () => outputs.drop('j-m00000.1')],
  ])('takes an output that %s as missing', async (_, harm) => {
    harm();
    const pieces = await fetch(2, { attempt: 'j-m00000.1', offset: 0 });
    expect(pieces.map(({ missing, last }) => [missing, last])).toEqual([[true, true]]);
  });

  it('that nobody serves is unavailable, not silence', async () => {
    const { signal } = new AbortController();
    const nobody = grpcShuffle(channels).fetch('127.0.0.1:1', { partition: 0, sources: [] }, signal);
    await expect(nobody[Symbol.asyncIterator]().next()).rejects.toMatchObject({ kind: 'unavailable' });
  });
});
