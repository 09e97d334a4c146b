import { open } from 'node:fs/promises';
import type { mapreduceV1 } from '@synod/contracts';
import type { ServiceHandlers } from '@synod/rpc';
import { SynodError } from '@synod/runtime';
import type { MapOutputs } from './map-outputs';

const MESSAGE_BYTES = 256 * 1024;
const SOURCES_MAX = 1_000;
type Piece = mapreduceV1.FetchResponse;

const MISSING = { data: Buffer.alloc(0), last: true, missing: true };

/** Serves finished map outputs to reducers: bytes from disk as they are, at the reader's pace. */
export function shuffleService(
  outputs: MapOutputs,
  served: (bytes: number) => void,
): ServiceHandlers<'synod.mapreduce.v1.Shuffle'> {
  return {
    async *Fetch({ partition, sources }) {
      if (sources.length > SOURCES_MAX) {
        throw new SynodError('invalid-argument', `${sources.length} sources in one request; at most ${SOURCES_MAX}`);
      }
      for (const [sourceIndex, source] of sources.entries()) {
        for await (const piece of pieces(outputs, partition, source)) {
          served(piece.data.length);
          yield { ...piece, sourceIndex };
        }
      }
    },
  };
}

async function* pieces(
  outputs: MapOutputs,
  partition: number,
  { attempt, offset }: mapreduceV1.FetchSource__Output,
): AsyncGenerator<Piece & { data: Buffer }> {
  const output = outputs.find(attempt);
  const [start, end] = [output?.offsets[partition], output?.offsets[partition + 1]];
  const file = output === undefined ? undefined : await open(output.path, 'r').catch(() => undefined);
  if (file === undefined || start === undefined || end === undefined) {
    yield MISSING;
    return;
  }
  try {
    for (let at = start + Number(offset); ;) {
      const wanted = Math.max(0, Math.min(MESSAGE_BYTES, end - at));
      const data = Buffer.allocUnsafe(wanted);
      const { bytesRead } = await file.read(data, 0, wanted, at).catch(() => ({ bytesRead: -1 }));
      // A file that lost its end, or cannot be read, is as good as gone: the map runs again.
      if (bytesRead !== wanted) {
        yield MISSING;
        return;
      }
      at += wanted;
      yield { data, last: at >= end, missing: false };
      if (at >= end) return;
    }
  } finally {
    await file.close();
  }
}
