import type { Page } from '@synod/service-kit';
import { ETCD_API_VERSION } from './services/api-version';

/** What etcd answers over HTTP besides its metrics, for probes that were made for it. */
export function etcdPages(obstacle: () => string | undefined): Readonly<Record<string, () => Page>> {
  return {
    '/health': () => {
      const reason = obstacle();
      return reason === undefined
        ? { status: 200, body: { health: 'true' } }
        : { status: 503, body: { health: 'false', reason } };
    },
    '/version': () => ({ status: 200, body: { etcdserver: ETCD_API_VERSION, etcdcluster: ETCD_API_VERSION } }),
  };
}
