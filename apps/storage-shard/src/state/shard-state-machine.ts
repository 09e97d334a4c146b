import { unreachable } from '@synod/invariant';
import type { StateMachine } from '@synod/replication';
import type { StoreTransaction } from '@synod/runtime';
import {
  commitOnePhase,
  decide,
  prepare,
  resolve,
  type Change,
  type Decision,
  type Key,
  type Lock,
  type PrepareOutcome,
  type ShardId,
  type TxnHandle,
} from '@synod/two-phase-commit';
import { decodeCommand, type ShardCommand } from './commands';
import type { Value } from './row-codec';
import { ShardRowsWriter } from './shard-rows';

/** What applying a command answers to its proposer. */
export type ShardResult =
  | PrepareOutcome
  /** The decision record after `decide`. */
  | { readonly kind: 'record'; readonly record: Decision }
  | { readonly kind: 'resolved' };

/** What a command did to locks: for whoever waits for them on this node. */
export type LockEvent =
  /** The transaction is in doubt here from now on. */
  | { readonly kind: 'prepared'; readonly lock: Lock }
  /** It no longer is: these keys are free of it. */
  | { readonly kind: 'released'; readonly txn: TxnHandle; readonly keys: readonly Key[] };

/**
 * The replicated part of a shard: applies commands by the rules of @synod/two-phase-commit to the rows of the shard. Every replica
 * does the same, refusals included; nothing here knows who leads or what time it is.
 */
export class ShardStateMachine implements StateMachine<ShardResult> {
  private events: LockEvent[] = [];

  constructor(
    private readonly shard: ShardId,
    private prefix: Buffer,
    /** Called after the store transaction has committed, in the order of the log. */
    private readonly locksChanged: (event: LockEvent) => void,
    /** Called when the state is another, below another prefix. */
    private readonly loaded: (prefix: Buffer) => void = () => undefined,
  ) {}

  load(prefix: Buffer): void {
    this.prefix = prefix;
    this.loaded(prefix);
  }

  apply(transaction: StoreTransaction, command: Uint8Array): ShardResult {
    return this.run(new ShardRowsWriter(transaction, this.prefix), decodeCommand(command));
  }

  committed(): void {
    const events = this.events;
    this.events = [];
    for (const event of events) this.locksChanged(event);
  }

  private run(rows: ShardRowsWriter, command: ShardCommand): ShardResult {
    switch (command.kind) {
      case 'prepare': {
        const { outcome, changes } = prepare(rows, command.work, command.prepTs);
        this.change(rows, changes, []);
        return outcome;
      }
      case 'commit-one-phase': {
        const { outcome, changes } = commitOnePhase(rows, command.work, command.commitTs);
        this.change(rows, changes, [this.shard]);
        return outcome;
      }
      case 'decide': {
        const { txn, proposal, participants } = command;
        const { outcome, changes } = decide<Value>(rows, this.shard, txn, proposal, participants);
        this.change(rows, changes, participants);
        return { kind: 'record', record: outcome };
      }
      case 'resolve':
        this.change(rows, resolve<Value>(rows, command.txn, command.outcome), []);
        return { kind: 'resolved' };
      default:
        return unreachable(command);
    }
  }

  /** The only place where a shard's rows change. */
  private change(rows: ShardRowsWriter, changes: readonly Change<Value>[], participants: readonly ShardId[]): void {
    for (const change of changes) {
      switch (change.kind) {
        case 'participation': {
          const before = rows.participation(change.txn);
          rows.putParticipation(change.txn, change.state);
          if (change.state.phase === 'prepared') this.events.push({ kind: 'prepared', lock: change.state.lock });
          else if (before.phase === 'prepared') {
            this.events.push({ kind: 'released', txn: change.txn, keys: [...before.exclusive, ...before.shared] });
          }
          break;
        }
        case 'decision':
          rows.putDecision(change.txn, { record: change.record, participants });
          break;
        case 'put-intent':
          rows.putIntent(change.key, change.lock, change.value);
          break;
        case 'put-shared-lock':
          rows.putSharedLock(change.key, change.lock);
          break;
        case 'drop-intent':
          rows.dropIntent(change.key);
          break;
        case 'drop-shared-lock':
          rows.dropSharedLock(change.key, change.txn);
          break;
        case 'commit-intent':
          rows.commitIntent(change.key, change.commitTs);
          break;
        case 'put-version':
          rows.putVersion(change.key, change.commitTs, change.value);
          break;
        default:
          unreachable(change);
      }
    }
  }
}
