import { compare, get, put, remove, txn } from '../testing/state-bench';
import { ETCD_ERRORS } from './errors';
import { checkOperation } from './request-check';
import { deleteRangeRequest, type OperationRequest } from './requests';

function refusal(request: OperationRequest, identity: 'client' | 'service' = 'client'): string | undefined {
  try {
    checkOperation(request, identity);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

// Source: etcd, server/etcdserver/api/v3rpc/key.go: checkRangeRequest, checkPutRequest, checkTxnRequest, checkIntervals.
it.each<[string, OperationRequest, string | undefined]>([
  ['no key', get(''), 'key is not provided'],
  ['a deletion of no key', remove(''), 'key is not provided'],
  ['a value with ignore_value', put('a', '1', { ignoreValue: true }), 'value is provided'],
  ['a lease with ignore_lease', put('a', '1', { ignoreLease: true, lease: 1n }), 'lease is provided'],
  ['a comparison of no key', txn([compare('', 'mod', 'equal', 0n)], []), 'key is not provided'],
  ['a key longer than the store can hold', put('k'.repeat(1537), ''), 'request is too large'],
  [
    '128 operations',
    txn(
      [],
      Array.from({ length: 128 }, (_, index) => put(`${index}`, '')),
    ),
    undefined,
  ],
  [
    '129 operations',
    txn(
      [],
      Array.from({ length: 129 }, () => get('a')),
    ),
    'too many operations in txn request',
  ],
  [
    'a nested transaction with more operations than its parent left',
    txn([], [txn([], [get('a')]), ...Array.from({ length: 127 }, () => get('a'))]),
    'too many operations in txn request',
  ],
  ['two puts of a key', txn([], [put('a', '1'), put('a', '2')]), 'duplicate key given in txn request'],
  ['a put inside a deletion', txn([], [put('b', '1'), remove('a', 'c')]), 'duplicate key given in txn request'],
  ['a put at the open end of a deletion', txn([], [put('c', '1'), remove('a', 'c')]), undefined],
  ['two deletions of a key', txn([], [remove('a'), remove('a', 'c')]), undefined],
  ['a put on each path', txn([], [put('a', '1')], [put('a', '2')]), undefined],
  ['a put on each path of a nested transaction', txn([], [txn([], [put('a', '1')], [put('a', '2')])]), undefined],
  [
    'a put of what a nested transaction puts',
    txn([], [txn([], [], [put('a', '2')]), put('a', '1')]),
    'duplicate key given in txn request',
  ],
  [
    'a put of what a nested transaction deletes',
    txn([], [put('a', '1'), txn([], [remove('a')])]),
    'duplicate key given in txn request',
  ],
  ['a put under the reserved prefix', put('\0synod/oracle', ''), 'permission denied'],
  ['a deletion under the reserved prefix', remove('\0synod/a', '\0synod/b'), 'permission denied'],
  ['that inside a transaction', txn([], [], [txn([], [put('\0synod/', '')])]), 'permission denied'],
  ['a deletion wider than the reserved prefix', remove('\0', '\0'), undefined],
  ['a deletion of a range that holds nothing', remove('b', 'a'), undefined],
  ['a read under the reserved prefix', get('\0synod/oracle'), undefined],
])('answers %s as etcd does', (_, request, text) => {
  expect(refusal(request)).toBe(text === undefined ? undefined : `etcdserver: ${text}`);
});

it('lets services write under the reserved prefix', () => {
  expect(refusal(put('\0synod/oracle', ''), 'service')).toBeUndefined();
  expect(refusal(deleteRangeRequest(Buffer.from('\0synod/'), Buffer.from('\0synod0')), 'service')).toBeUndefined();
});

it('lets services found a cluster of many shards in one transaction', () => {
  const founding = txn(
    [],
    Array.from({ length: 4_096 }, (_, index) => put(`\0synod/placement/${index}`, '')),
  );
  expect(refusal(founding, 'service')).toBeUndefined();
  expect(refusal(founding)).toBe('etcdserver: too many operations in txn request');
});

it('has one text for each error', () => {
  const texts = Object.values(ETCD_ERRORS).map(([, text]) => text);
  expect(new Set(texts).size).toBe(texts.length);
});
