/**
 * What the coordination API refuses, with the exact status and text of etcd: its clients compare the strings.
 * Source: etcd, api/v3rpc/rpctypes/error.go. Unlike in the rest of Synod, UNAVAILABLE here may have taken effect.
 */
export const ETCD_ERRORS = {
  'empty-key': ['INVALID_ARGUMENT', 'key is not provided'],
  'key-not-found': ['INVALID_ARGUMENT', 'key not found'],
  'value-provided': ['INVALID_ARGUMENT', 'value is provided'],
  'lease-provided': ['INVALID_ARGUMENT', 'lease is provided'],
  'too-many-operations': ['INVALID_ARGUMENT', 'too many operations in txn request'],
  'duplicate-key': ['INVALID_ARGUMENT', 'duplicate key given in txn request'],
  'invalid-sort-option': ['INVALID_ARGUMENT', 'invalid sort option'],
  'request-too-large': ['INVALID_ARGUMENT', 'request is too large'],
  compacted: ['OUT_OF_RANGE', 'mvcc: required revision has been compacted'],
  'future-revision': ['OUT_OF_RANGE', 'mvcc: required revision is a future revision'],
  'lease-ttl-too-large': ['OUT_OF_RANGE', 'too large lease TTL'],
  'lease-not-found': ['NOT_FOUND', 'requested lease not found'],
  'lease-exists': ['FAILED_PRECONDITION', 'lease already exists'],
  'member-not-found': ['NOT_FOUND', 'member not found'],
  'member-exists': ['FAILED_PRECONDITION', 'member ID already exist'],
  'peer-urls-exist': ['FAILED_PRECONDITION', 'Peer URLs already exists'],
  'invalid-member-urls': ['INVALID_ARGUMENT', 'given member URLs are invalid'],
  'not-enough-started': ['FAILED_PRECONDITION', 're-configuration failed due to not enough started members'],
  'member-not-learner': ['FAILED_PRECONDITION', 'can only promote a learner member'],
  'learner-not-ready': ['FAILED_PRECONDITION', 'can only promote a learner member which is in sync with leader'],
  'too-many-learners': ['FAILED_PRECONDITION', 'too many learner members in cluster'],
  'learner-not-served': ['FAILED_PRECONDITION', 'rpc not supported for learner'],
  'too-many-requests': ['RESOURCE_EXHAUSTED', 'too many requests'],
  'no-space': ['RESOURCE_EXHAUSTED', 'mvcc: database space exceeded'],
  'permission-denied': ['PERMISSION_DENIED', 'permission denied'],
  'invalid-auth-token': ['UNAUTHENTICATED', 'invalid auth token'],
  'auth-not-enabled': ['FAILED_PRECONDITION', 'authentication is not enabled'],
  'auth-failed': ['INVALID_ARGUMENT', 'authentication failed, invalid user ID or password'],
  'auth-old-revision': ['INVALID_ARGUMENT', 'revision of auth store is old'],
  'invalid-auth-management': ['INVALID_ARGUMENT', 'invalid auth management'],
  'root-user-missing': ['FAILED_PRECONDITION', 'root user does not exist'],
  'root-role-missing': ['FAILED_PRECONDITION', 'root user does not have root role'],
  'user-empty': ['INVALID_ARGUMENT', 'user name is empty'],
  'user-exists': ['FAILED_PRECONDITION', 'user name already exists'],
  'user-not-found': ['FAILED_PRECONDITION', 'user name not found'],
  'role-empty': ['INVALID_ARGUMENT', 'role name is empty'],
  'role-exists': ['FAILED_PRECONDITION', 'role name already exists'],
  'role-not-found': ['FAILED_PRECONDITION', 'role name not found'],
  'role-not-granted': ['FAILED_PRECONDITION', 'role is not granted to the user'],
  'permission-not-given': ['INVALID_ARGUMENT', 'permission not given'],
  'permission-not-granted': ['FAILED_PRECONDITION', 'permission is not granted to the role'],
  'no-leader': ['UNAVAILABLE', 'no leader'],
  'not-leader': ['FAILED_PRECONDITION', 'not leader'],
  'bad-leader-transferee': ['FAILED_PRECONDITION', 'bad leader transferee'],
  'leader-transfer-timed-out': ['UNAVAILABLE', 'request timed out, leader transfer took too long'],
  'timed-out': ['UNAVAILABLE', 'request timed out'],
  'timed-out-leader-failed': ['UNAVAILABLE', 'request timed out, possibly due to previous leader failure'],
  'timed-out-connection-lost': ['UNAVAILABLE', 'request timed out, possibly due to connection lost'],
  'timed-out-apply': ['UNAVAILABLE', 'request timed out, waiting for the applied index took too long'],
  unhealthy: ['UNAVAILABLE', 'unhealthy cluster'],
  corrupt: ['DATA_LOSS', 'corrupt cluster'],
  'downgrade-version-format': ['INVALID_ARGUMENT', 'wrong downgrade target version format'],
  'downgrade-version': ['INVALID_ARGUMENT', 'invalid downgrade target version'],
  'no-downgrade': ['FAILED_PRECONDITION', 'no inflight downgrade job'],
} as const satisfies Record<string, readonly [EtcdStatus, string]>;

/** The gRPC status names that occur in the table. */
export type EtcdStatus =
  | 'INVALID_ARGUMENT'
  | 'OUT_OF_RANGE'
  | 'NOT_FOUND'
  | 'FAILED_PRECONDITION'
  | 'RESOURCE_EXHAUSTED'
  | 'PERMISSION_DENIED'
  | 'DATA_LOSS'
  | 'UNAUTHENTICATED'
  | 'UNAVAILABLE';

export type EtcdErrorName = keyof typeof ETCD_ERRORS;

/** A request of the coordination API that was refused or could not be finished. */
export class EtcdError extends Error {
  constructor(readonly code: EtcdErrorName) {
    super(`etcdserver: ${ETCD_ERRORS[code][1]}`);
    this.name = 'EtcdError';
  }

  get status(): EtcdStatus {
    return ETCD_ERRORS[this.code][0];
  }
}

export function isEtcdErrorName(name: string): name is EtcdErrorName {
  return Object.hasOwn(ETCD_ERRORS, name);
}
