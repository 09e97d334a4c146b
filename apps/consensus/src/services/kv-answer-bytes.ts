import type { consensusV1, etcdserverpb, mvccpb } from '@synod/contracts';

/** Around every entry and every answer: tags, lengths, revisions, the header. Rather too much than too little. */
const ENVELOPE_BYTES = 64;

type Entries = readonly mvccpb.KeyValue[] | null | undefined;

/** About how many bytes an answer is on the wire: what its entries hold, which is all that can be large. */
export function bytesOf({ put, range, deleteRange, txn }: consensusV1.KvResponse): number {
  return ENVELOPE_BYTES + ofPut(put) + ofEntries(range?.kvs) + ofEntries(deleteRange?.prevKvs) + ofTxn(txn);
}

function ofPut(put: etcdserverpb.PutResponse | null | undefined): number {
  return put?.prevKv == null ? 0 : ofEntries([put.prevKv]);
}

function ofTxn(txn: etcdserverpb.TxnResponse | null | undefined): number {
  let bytes = 0;
  for (const { responsePut, responseRange, responseDeleteRange, responseTxn } of txn?.responses ?? []) {
    bytes += ENVELOPE_BYTES + ofPut(responsePut) + ofEntries(responseRange?.kvs);
    bytes += ofEntries(responseDeleteRange?.prevKvs) + ofTxn(responseTxn);
  }
  return bytes;
}

function ofEntries(entries: Entries): number {
  let bytes = 0;
  for (const { key, value } of entries ?? []) bytes += ENVELOPE_BYTES + (key?.length ?? 0) + (value?.length ?? 0);
  return bytes;
}
