import { messageCodec, type mapreduceV1 } from '@synod/contracts';
import type { Protocol } from '@synod/runtime';

/** What a worker says; fields as in protos/synod/mapreduce/v1/master.proto. */
export type WorkerMessage = mapreduceV1.WorkerMessage__Output;
/** What it is told. */
export type MasterMessage = mapreduceV1.MasterMessage;

/** The master's end of a session: it decodes what comes up and encodes what goes down. */
export function workerSessionProtocol(): Protocol<WorkerMessage, MasterMessage> {
  const up = messageCodec('synod.mapreduce.v1.WorkerSessionRequest');
  const down = messageCodec('synod.mapreduce.v1.WorkerSessionResponse');
  return {
    name: '/synod.mapreduce.v1.Master/WorkerSession',
    up: {
      encode: (messages) => up.encode({ messages: [...messages] }),
      decode: (bytes) => up.decode(bytes).messages,
    },
    down: {
      encode: (messages) => down.encode({ messages: [...messages] }),
      decode: (bytes) => down.decode(bytes).messages,
    },
  };
}
