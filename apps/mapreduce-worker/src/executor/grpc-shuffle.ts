import { serviceDefinition } from '@synod/contracts';
import type { GrpcChannels } from '@synod/rpc';
import { SynodError } from '@synod/runtime';
import type { FetchedPiece, ShuffleClient } from './fetch-outputs';

/** A stream that brings nothing for so long is given up: its worker may be stopped, or cut off without a word. */
const SILENCE_MS = 4_000;

/** The shuffle of other workers over gRPC, on connections of its own. */
export function grpcShuffle(channels: GrpcChannels): ShuffleClient {
  const { Fetch } = serviceDefinition('synod.mapreduce.v1.Shuffle');
  return {
    async *fetch(address, { partition, sources }, signal): AsyncGenerator<FetchedPiece> {
      const silence = new AbortController();
      const either = AbortSignal.any([signal, silence.signal]);
      const timer = setTimeout(() => silence.abort(), SILENCE_MS);
      try {
        const request = { partition, sources: [...sources] };
        const pieces = channels.callServerStream(address, Fetch, request, { signal: either, idempotent: true });
        for await (const { sourceIndex, data, last, missing } of pieces) {
          timer.refresh();
          yield { index: sourceIndex, data, last, missing };
        }
      } catch (error) {
        if (!silence.signal.aborted) throw error;
        throw new SynodError('unavailable', `${address} sent nothing for ${SILENCE_MS / 1000} s`, { cause: error });
      } finally {
        clearTimeout(timer);
      }
    },
  };
}
