import { serviceDefinition, type etcdserverpb } from '@synod/contracts';
import type { CallContext, ServiceHandlers } from '@synod/rpc';
import { EtcdError } from '../state/errors';
import type { ServedService } from './access-rules';
import { asStatus, type ServedMember } from './member';

/** A handler of any shape; its own types were checked where it was written. */
type AnyHandler = (...args: [...unknown[], CallContext]) => unknown;

/** What a learner answers: how it is, what it holds, a copy of it. (etcd: v3rpc/interceptor.go.) */
const ANSWERED: Readonly<Record<string, (request: unknown) => boolean>> = {
  '/etcdserverpb.KV/Range': (request) => (request as etcdserverpb.RangeRequest__Output).serializable,
  '/etcdserverpb.Maintenance/Status': () => true,
  '/etcdserverpb.Maintenance/Snapshot': () => true,
};

/**
 * The handlers of one of etcd's services, as a member that learns serves them: it is there to catch up, and clients shall find a member that
 * votes. What the cluster's own services ask is answered: they go by the list of nodes, and know of no learners.
 */
export function unlessLearning<Name extends ServedService, Handlers extends ServiceHandlers<Name>>(
  name: Name,
  handlers: Handlers,
  member: ServedMember,
): Handlers {
  const methods = serviceDefinition(name) as Readonly<
    Record<string, { path: string; responseStream: boolean; requestStream: boolean }>
  >;
  return Object.fromEntries(
    Object.entries(handlers as unknown as Readonly<Record<string, AnyHandler>>).map(([method, handler]) => {
      const { path = '', responseStream = false, requestStream = false } = methods[method] ?? {};
      const answered = ANSWERED[path];
      const check = (args: readonly unknown[]): void => {
        if (!member.learns || answered?.(args[0]) === true) return;
        if ((args.at(-1) as CallContext).metadata('synod-identity') === 'service') return;
        throw asStatus(new EtcdError('learner-not-served'));
      };
      const call: AnyHandler = (...args) => {
        check(args);
        return handler(...args);
      };
      const stream: AnyHandler = async function* (...args) {
        check(args);
        yield* handler(...args) as AsyncIterable<unknown>;
      };
      return [method, responseStream && !requestStream ? stream : call];
    }),
  ) as unknown as Handlers;
}
