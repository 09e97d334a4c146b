import type { EtcdErrorName } from './errors';
import type { PutRequest } from './requests';
import type { PutResult } from './results';
import type { RevisionWriter } from './revision-writer';

/** Why a put cannot be done in the present state, if so. */
export function refusePut(writer: RevisionWriter, request: PutRequest): EtcdErrorName | undefined {
  return refuseLease(writer, request) ?? refuseIgnore(writer, request);
}

/** The same inside a transaction: where both are wrong, etcd names the other one. */
export function refusePutInTxn(writer: RevisionWriter, request: PutRequest): EtcdErrorName | undefined {
  return refuseIgnore(writer, request) ?? refuseLease(writer, request);
}

function refuseIgnore(writer: RevisionWriter, request: PutRequest): EtcdErrorName | undefined {
  const keeps = request.ignoreValue || request.ignoreLease;
  return keeps && writer.latest(request.key) === undefined ? 'key-not-found' : undefined;
}

function refuseLease({ keySpace, transaction }: RevisionWriter, { lease }: PutRequest): EtcdErrorName | undefined {
  return lease !== 0n && keySpace.lease(transaction, lease) === undefined ? 'lease-not-found' : undefined;
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
