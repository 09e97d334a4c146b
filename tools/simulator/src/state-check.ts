import type { CoordinationHost } from '../../../apps/consensus/src/coordination-host';
import { Broken } from './broken';

/** Invariant `replicas-are-equal`: the members compare their whole states all the while, and none has named another as different. */
export function checkStates(hosts: readonly Pick<CoordinationHost, 'alarms'>[]): void {
  const corrupt = hosts.flatMap(({ alarms }) => alarms).find(({ type }) => type === 'corrupt');
  if (corrupt === undefined) return;
  throw new Broken('invariant', 'replicas-are-equal', `the state of member ${corrupt.member} differs from the others'`);
}
