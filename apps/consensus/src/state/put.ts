import type { EtcdErrorName } from './errors';
import type { PutRequest } from './requests';
import type { PutResult } from './results';
import type { RevisionWriter } from './revision-writer';

/** Why a put cannot be done in the present state, if so. */
export function refusePut(writer: RevisionWriter, request: PutRequest): EtcdErrorName | undefined {
  const { keySpace, transaction } = writer;
  if ((request.ignoreValue || request.ignoreLease) && writer.latest(request.key) === undefined) return 'key-not-found';
  if (request.lease !== 0n && keySpace.lease(transaction, request.lease) === undefined) return 'lease-not-found';
  return undefined;
}

/** Writes a new version of a key. `refusePut` found nothing against it. */
export function put(writer: RevisionWriter, request: PutRequest): PutResult {
  const { key, ignoreValue, ignoreLease } = request;
  const present = request.previous || ignoreValue || ignoreLease ? writer.entry(key) : undefined;
  const value = ignoreValue && present !== undefined ? present.value : request.value;
  const lease = ignoreLease && present !== undefined ? present.lease : request.lease;
  writer.put(key, value, lease);
  return { kind: 'put', revision: writer.revision, previous: request.previous ? present : undefined };
}
