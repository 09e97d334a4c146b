import type { TokenEvent } from '../state/auth/auth-commands';
import { NOBODY, type Authority } from '../state/auth/authority';
import type { EtcdErrorName } from '../state/errors';
import { encodeCommand } from '../state/command-codec';
import { readRange } from '../state/read';
import {
  deleteRangeRequest,
  putRequest,
  rangeRequest,
  type Command,
  type CompareRequest,
  type OperationRequest,
  type PutRequest,
  type RangeRequest,
  type TxnRequest,
} from '../state/requests';
import type { ApplyResult, Change, RangeResult } from '../state/results';
import { EtcdStateMachine, type LeaseChange, type StateCheck } from '../state/state-machine';
import { prefixRangeEnd } from '../state/span';
import { MemoryStore } from './memory-store';

export const PREFIX = Buffer.from([1]);

/** The state machine alone over a store in memory: one command per transaction. */
export class StateBench {
  readonly store = new MemoryStore();
  readonly changes: Change[] = [];
  readonly leases: LeaseChange[] = [];
  readonly checks: StateCheck[] = [];
  readonly tokens: TokenEvent[] = [];
  private instance = 0;
  readonly machine = new EtcdStateMachine(PREFIX, (applied) => {
    this.changes.push(...applied.changes);
    this.leases.push(...applied.leases);
    this.checks.push(...applied.checks);
    this.tokens.push(...applied.tokens);
  });

  apply(command: Command, authority: Authority = NOBODY): ApplyResult {
    const bytes = encodeCommand(command, authority);
    const position = { instance: ++this.instance, index: 0 };
    const result = this.store.transaction((transaction) => {
      const applied = this.machine.apply(transaction, bytes, position);
      this.machine.finish(transaction);
      return applied;
    });
    this.machine.committed(this.store);
    return result;
  }

  put(key: string, value: string, options: Partial<PutRequest> = {}): ApplyResult {
    return this.apply(put(key, value, options));
  }

  remove(key: string): ApplyResult {
    return this.apply(remove(key));
  }

  range(request: RangeRequest): RangeResult | { readonly kind: 'refused'; readonly error: EtcdErrorName } {
    return readRange(this.machine.keySpace, this.store, request);
  }

  /** The keys and values under a prefix, as text. */
  list(prefix: string, options: Partial<RangeRequest> = {}): string[] {
    const result = this.range(under(prefix, options));
    if (result.kind === 'refused') return [result.error];
    return result.entries.map(({ key, value }) => `${key.toString()}=${value.toString()}`);
  }
}

export function put(key: string, value: string, options: Partial<PutRequest> = {}): PutRequest {
  return putRequest(Buffer.from(key), Buffer.from(value), options);
}

export function remove(key: string, rangeEnd = ''): OperationRequest & { readonly kind: 'delete-range' } {
  return deleteRangeRequest(Buffer.from(key), Buffer.from(rangeEnd));
}

export function get(key: string, options: Partial<RangeRequest> = {}): RangeRequest {
  return rangeRequest(Buffer.from(key), Buffer.alloc(0), options);
}

export function under(prefix: string, options: Partial<RangeRequest> = {}): RangeRequest {
  const key = prefix === '' ? Buffer.from([0]) : Buffer.from(prefix);
  return rangeRequest(key, prefixRangeEnd(Buffer.from(prefix)), options);
}

export function compare(
  key: string,
  target: CompareRequest['target'],
  result: CompareRequest['result'],
  operand: bigint | string,
  rangeEnd = '',
): CompareRequest {
  return {
    key: Buffer.from(key),
    rangeEnd: Buffer.from(rangeEnd),
    target,
    result,
    operand: typeof operand === 'string' ? Buffer.from(operand) : operand,
  };
}

export function txn(
  compares: readonly CompareRequest[],
  success: readonly OperationRequest[],
  failure: readonly OperationRequest[] = [],
): TxnRequest {
  return { kind: 'txn', compare: compares, success, failure };
}
