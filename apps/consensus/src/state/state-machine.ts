import type { Position, StateMachine } from '@synod/replication';
import type { StoreReader, StoreTransaction } from '@synod/runtime';
import { changeAlarm, refuseAlarmed } from './alarm';
import { applyAuth, type AuthCommand, type TokenEvent } from './auth/auth-commands';
import { AuthSpace } from './auth/auth-space';
import { Authorities, type Authority } from './auth/authority';
import { decodeCommand } from './command-codec';
import { compact, compactStep } from './compaction';
import { deleteRange } from './delete';
import { KeySpace } from './key-space';
import { checkpointLeases, grantLease, revokeLease } from './lease';
import { put, refusePut } from './put';
import type { Command, LeaseId, TxnRequest } from './requests';
import type { ApplyResult, Change } from './results';
import { RevisionWriter } from './revision-writer';
import { checkState } from './state-check';
import { choosePath, refusePath, runPath } from './txn';

/** What the commands of one store transaction did, for those who wait for it on this node. */
export interface Applied {
  /** In revision order, none missing. */
  readonly changes: readonly Change[];
  /** In log order. */
  readonly leases: readonly LeaseChange[];
  readonly checks: readonly StateCheck[];
  /** In log order. */
  readonly tokens: readonly TokenEvent[];
  /** Users, roles or the switch are not what they were. */
  readonly authChanged: boolean;
}

/** The hash of a stretch of this member's state, taken at a place in the log. */
export interface StateCheck {
  readonly position: Position;
  readonly hash: bigint;
}

export type LeaseChange =
  | { readonly kind: 'granted'; readonly id: LeaseId; readonly ttlSeconds: bigint }
  | { readonly kind: 'revoked'; readonly id: LeaseId };

/**
 * The replicated state of the coordination service: etcd's data model, as a function of the log. Keys have versions; every change
 * gets the next revision; past revisions can be read and watched until they are compacted.
 * Source: the etcd v3 API guarantees and, for what they leave open, the behaviour of etcd's server/etcdserver/apply.
 */
export class EtcdStateMachine implements StateMachine<ApplyResult> {
  readonly keySpace: KeySpace;
  readonly authSpace: AuthSpace;
  readonly authorities: Authorities;
  private changes: Change[] = [];
  private leases: LeaseChange[] = [];
  private checks: StateCheck[] = [];
  private tokens: TokenEvent[] = [];
  private authChanged = false;

  /**
   * @param prefix of every key this group keeps in the store
   * @param applied is told after each transaction, before any proposer hears of its result
   * @param loaded is told when the state is another: what was derived from the one before is void
   */
  constructor(
    prefix: Buffer,
    private readonly applied: (applied: Applied, store: StoreReader) => void = () => undefined,
    private readonly loaded: () => void = () => undefined,
  ) {
    this.keySpace = new KeySpace(prefix);
    this.authSpace = new AuthSpace(prefix);
    this.authorities = new Authorities(this.authSpace, this.keySpace);
  }

  apply(transaction: StoreTransaction, bytes: Uint8Array, position: Position): ApplyResult {
    const { authority, command } = decodeCommand(bytes);
    return this.refuse(transaction, authority, command) ?? this.run(transaction, command, position);
  }

  /** The counters are written once for all commands of a transaction. */
  finish(transaction: StoreTransaction): void {
    this.keySpace.writeMeta(transaction);
  }

  load(prefix: Buffer): void {
    this.keySpace.moveTo(prefix);
    this.authSpace.moveTo(prefix);
    this.authorities.forget();
    this.loaded();
  }

  committed(store: StoreReader): void {
    const { changes, leases, checks, tokens, authChanged } = this;
    this.changes = [];
    this.leases = [];
    this.checks = [];
    this.tokens = [];
    this.authChanged = false;
    this.applied({ changes, leases, checks, tokens, authChanged }, store);
  }

  /** Judges a command by the alarms, and by the users and roles, that it meets here in the log. */
  private refuse(transaction: StoreTransaction, authority: Authority, command: Command): ApplyResult | undefined {
    const { alarms, revision } = this.keySpace.meta(transaction);
    const error = refuseAlarmed(alarms, command) ?? this.authorities.refuseCommand(transaction, authority, command);
    return error === undefined ? undefined : { kind: 'refused', revision, error };
  }

  private run(transaction: StoreTransaction, command: Command, position: Position): ApplyResult {
    switch (command.kind) {
      case 'put':
        return this.write(transaction, (writer) => {
          const error = refusePut(writer, command);
          return error === undefined ? put(writer, command) : { kind: 'refused', revision: writer.revision, error };
        });
      case 'delete-range':
        return this.write(transaction, (writer) => deleteRange(writer, command));
      case 'txn':
        return this.write(transaction, (writer) => runTxn(writer, command));
      case 'lease-revoke':
        return this.noteLease(
          this.write(transaction, (writer) => revokeLease(writer, command.id)),
          command.id,
        );
      case 'lease-grant':
        return this.noteLease(grantLease(this.keySpace, transaction, command.id, command.ttlSeconds), command.id);
      case 'compact':
        return compact(this.keySpace, transaction, command.revision);
      case 'compact-step':
        return compactStep(this.keySpace, transaction, command.events);
      case 'alarm':
        return changeAlarm(this.keySpace, transaction, command);
      case 'lease-checkpoint':
        return checkpointLeases(this.keySpace, transaction, command.leases);
      case 'check-state': {
        // What is hashed must not depend on which commands share a transaction here.
        this.keySpace.writeMeta(transaction);
        const { hash, next } = checkState(this.keySpace, transaction, command.start, command.entries);
        this.checks.push({ position, hash });
        return { kind: 'state-checked', revision: this.keySpace.meta(transaction).revision, next };
      }
      default:
        return this.administer(transaction, command);
    }
  }

  private write(transaction: StoreTransaction, work: (writer: RevisionWriter) => ApplyResult): ApplyResult {
    const writer = new RevisionWriter(this.keySpace, transaction);
    const result = work(writer);
    const change = writer.finish();
    if (change !== undefined) this.changes.push(change);
    return result;
  }

  private administer(transaction: StoreTransaction, command: AuthCommand): ApplyResult {
    const outcome = applyAuth(this.authSpace, transaction, command);
    const { revision } = this.keySpace.meta(transaction);
    if (outcome.kind === 'refused') return { ...outcome, revision };
    if (outcome.tokens !== undefined) this.tokens.push(outcome.tokens);
    if (outcome.meta !== undefined) {
      this.authorities.forget();
      this.authChanged = true;
    }
    return { kind: 'auth-changed', revision };
  }

  private noteLease(result: ApplyResult, id: LeaseId): ApplyResult {
    if (result.kind === 'lease-granted') this.leases.push({ kind: 'granted', id, ttlSeconds: result.ttlSeconds });
    if (result.kind === 'lease-revoked') this.leases.push({ kind: 'revoked', id });
    return result;
  }
}

function runTxn(writer: RevisionWriter, request: TxnRequest): ApplyResult {
  const path = choosePath(writer.keySpace, writer.transaction, request);
  const error = refusePath(writer, path);
  return error === undefined ? runPath(writer, path) : { kind: 'refused', revision: writer.revision, error };
}
