import type { ChannelTls, TlsMaterial } from '@synod/rpc';

/** Of the contracts that consensus members serve their clients. */
const PACKAGES = /^\/(etcdserverpb|synod\.consensus\.v1)\./;

/** TLS towards the coordination service alone: it is the one that may be served over TLS. */
export function consensusTls(material: TlsMaterial | undefined): ChannelTls | undefined {
  return material && { material, covers: (path) => PACKAGES.test(path) };
}
