import type { ServiceHandlers } from '@synod/rpc';
import type { ServedMember } from './member';

/** The unary form, for thin clients; the stream is served by the node itself. */
export function timestampOracleService({ node }: ServedMember): ServiceHandlers<'synod.consensus.v1.TimestampOracle'> {
  return {
    GetTimestamp: async () => ({ timestamp: (await node.timestamp()).toString() }),
  };
}
