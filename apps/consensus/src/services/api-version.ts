/** The etcd release whose API this is; clients switch features by it: from 3.5.13 on they use RequestWatchProgress, for one. */
export const ETCD_API_VERSION = '3.6.0';
