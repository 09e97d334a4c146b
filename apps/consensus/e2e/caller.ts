import { serviceDefinition, type MessageShape, type MethodDefinition } from '@synod/contracts';
import { eventually } from '@synod/eventually';
import { statusOf, type GrpcChannels } from '@synod/rpc';
import type { TestMember } from './test-cluster';

const MAINTENANCE = serviceDefinition('etcdserverpb.Maintenance');

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

export type Call = ReturnType<typeof callerOver>;

/** What a call came to: `done`, or why not in etcd's words. */
export async function outcomeOf(answer: Promise<unknown>): Promise<string> {
  try {
    await answer;
    return 'done';
  } catch (error) {
    return statusOf(error)?.details ?? String(error);
  }
}

/** The one of some members that leads now, by what it says itself; there is one sooner or later. */
export function leaderAmong(call: Call, members: readonly TestMember[]): Promise<TestMember> {
  return eventually('a leader', async () => {
    for (const member of members.filter(({ runs }) => runs)) {
      const status = await call(member, MAINTENANCE.Status, {}).catch(() => undefined);
      if (status !== undefined && status.leader === status.header?.memberId) return member;
    }
    return undefined;
  });
}
