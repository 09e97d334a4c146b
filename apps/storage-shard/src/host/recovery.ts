import { SynodError, type Log, type Probes } from '@synod/runtime';
import {
  recover,
  txnName,
  type Decision,
  type DecisionRecord,
  type Lock,
  type ShardId,
  type TxnHandle,
} from '@synod/two-phase-commit';
import type { StorageRequest } from '@synod/protocols';
import type { InDoubt } from './in-doubt';
import type { Leadership } from './leadership';
import type { ShardHostOptions } from './options';
import type { ShardRouter } from './ports';

/**
 * Ends the doubt about transactions whose coordinator does not: asks the anchor for the record and resolves this shard with it. Any
 * number of shards and coordinators may do so at once; only the compare-and-set at the anchor decides.
 */
export class Recovery {
  /** One at a time for each transaction, whoever asks. */
  private readonly running = new Map<string, Promise<boolean>>();

  constructor(
    private readonly leadership: Leadership,
    private readonly inDoubt: InDoubt,
    private readonly router: ShardRouter,
    private readonly options: ShardHostOptions,
    private readonly ports: { readonly log: Log; readonly probes: Probes },
  ) {}

  /**
   * Follows the recovery rule for an intent found here. Cheap while it is young: its coordinator is most likely about to resolve it.
   * @returns true if it is resolved now
   */
  settle(lock: Lock): Promise<boolean> {
    const ageUs = this.inDoubt.ageUs(lock);
    if (ageUs < this.options.askAfterUs) return Promise.resolve(false);
    return this.once(lock, ageUs >= this.options.expireAfterUs);
  }

  /** The transaction's own client began a later attempt: the earlier is given up, unless it turns out to have committed. */
  supersede(lock: Lock): Promise<boolean> {
    this.ports.probes.sometimes('earlier-attempt-superseded');
    return this.once(lock, true);
  }

  private once(lock: Lock, expired: boolean): Promise<boolean> {
    const name = `${txnName(lock.txn)}/${lock.attempt}`;
    const running = this.running.get(name);
    if (running !== undefined) return running;
    const started = this.attempt(lock, expired).finally(() => this.running.delete(name));
    this.running.set(name, started);
    return started;
  }

  private async attempt(lock: Lock, expired: boolean): Promise<boolean> {
    try {
      const outcome = await this.outcomeOf(lock, expired);
      if (outcome === undefined) return false;
      await this.leadership.propose({ kind: 'resolve', txn: lock.txn, outcome });
      return true;
    } catch (error) {
      if (!(error instanceof SynodError)) throw error;
      this.ports.log.debug('a transaction stays in doubt', {
        txn: txnName(lock.txn),
        reason: error.message,
      });
      return false;
    }
  }

  /** @returns undefined while nothing is decided and the coordinator may live */
  private async outcomeOf(lock: Lock, expired: boolean): Promise<Decision | undefined> {
    const step = recover(lock, await this.status(lock.txn), expired);
    switch (step.kind) {
      case 'wait':
        return undefined;
      case 'resolve':
        return step.outcome;
      case 'decide': {
        const record = await this.decide(lock.txn, step.proposal);
        this.ports.probes.sometimes(
          record.state === 'aborted' ? 'dead-coordinator-recovered' : 'recovery-lost-to-commit',
        );
        return record;
      }
    }
  }

  private status(txn: TxnHandle): Promise<DecisionRecord> {
    return this.ask(txn.anchor, { kind: 'status', shard: txn.anchor, txn });
  }

  private async decide(txn: TxnHandle, proposal: Decision): Promise<Decision> {
    const record = await this.ask(txn.anchor, { kind: 'decide', shard: txn.anchor, txn, proposal, participants: [] });
    if (record.state === 'none') throw unexpected(txn.anchor, 'an empty record after a decision');
    return record;
  }

  private async ask(shard: ShardId, request: StorageRequest): Promise<DecisionRecord> {
    const response = await this.router.request(shard, request);
    if (response.kind === 'error') throw new SynodError(response.error.kind, response.error.message);
    if (response.kind !== 'record') throw unexpected(shard, response.kind);
    return response.record;
  }
}

function unexpected(shard: ShardId, what: string): SynodError {
  return new SynodError('unavailable', `shard ${shard} answered with ${what}; is it of another release?`);
}
