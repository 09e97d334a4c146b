import type { MessageShape, MethodDefinition } from '@synod/contracts';
import type { GrpcChannels } from '@synod/rpc';
import type { TestMember } from './test-cluster';

/** Calls of members, each of which has to answer sooner or later. */
export function callerOver(channels: GrpcChannels) {
  return function call<Request extends MessageShape, Response extends MessageShape>(
    member: TestMember | undefined,
    method: MethodDefinition<Request, Response>,
    request: Request['input'],
    signal?: AbortSignal,
  ): Promise<Response['output']> {
    const options = signal === undefined ? {} : { signal };
    return channels.callUnary(member?.address ?? '', method, request, { deadlineMs: 20_000, ...options });
  };
}
