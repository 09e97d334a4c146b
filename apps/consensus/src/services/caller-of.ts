import type { CallContext } from '@synod/rpc';
import type { Caller } from '../auth/caller';

/**
 * Who makes a call. That it is a service is a label against accidents; once users are checked it needs their permissions besides.
 * Clients of etcd send their token as `token`, gateways as `authorization`; some have a certificate instead.
 */
export function callerOf(context: CallContext): Caller & object {
  const identity = context.metadata('synod-identity') === 'service' ? 'service' : 'client';
  const token = context.metadata('token') ?? context.metadata('authorization')?.replace(/^Bearer /i, '');
  return { identity, token, certified: () => context.commonName };
}
