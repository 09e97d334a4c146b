import type { ServiceHandlers } from '@synod/rpc';
import { callerOf } from './caller-of';
import { decodeDeleteRange, decodePut, decodeRange, decodeTxn, isSerializable } from './decode';
import { encodeDeleteRange, encodePut, encodeRange, encodeTxn } from './encode';
import type { ServedMember } from './member';

/** Behind the calls, and behind the stream of `kv-stream.ts`. */
export function kvService(member: ServedMember): Required<ServiceHandlers<'etcdserverpb.KV'>> {
  const { header, host } = member;
  return {
    Range: (request, context) =>
      member.answer(
        context,
        () => host.range(decodeRange(request), request.serializable, callerOf(context)),
        (result) => encodeRange(result, header),
      ),
    Put: (request, context) =>
      member.answer(
        context,
        () => host.put(decodePut(request), callerOf(context)),
        (result) => encodePut(result, header),
      ),
    DeleteRange: (request, context) =>
      member.answer(context, async () =>
        encodeDeleteRange(await host.deleteRange(decodeDeleteRange(request), callerOf(context)), header),
      ),
    Txn: (request, context) =>
      member.answer(context, async () =>
        encodeTxn(await host.txn(decodeTxn(request), callerOf(context), isSerializable(request)), header),
      ),
    Compact: ({ revision, physical }, context) =>
      member.answer(context, async () => ({
        header: header(await host.compact(BigInt(revision), physical, callerOf(context))),
      })),
  };
}
