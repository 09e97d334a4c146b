import { serviceDefinition, type etcdserverpb, type MessageShape, type MethodDefinition } from '@synod/contracts';
import { statusOf, type GrpcChannels } from '@synod/rpc';
import { SynodError, type Clock, type Random, type Timers } from '@synod/runtime';
import { entryFromWire, rangeEndToWire, toCompare, toOperation } from './etcd-messages';
import { EtcdSession, type EtcdCredentials } from './etcd-session';
import { EtcdWatch } from './etcd-watch';
import type { Compare, Coordination, CoordinationEntry, Operation, TransactionResult, WatchHandler } from './port';

export interface EtcdPorts {
  readonly channels: GrpcChannels;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
}

export interface EtcdOptions {
  /** `host:port` of members, at least one. */
  readonly endpoints: readonly string[];
  /** Who asks: writes under the reserved prefix are for services. */
  readonly identity: 'service' | 'client';
  /** As whom, where users are checked. */
  readonly credentials?: EtcdCredentials | undefined;
}

/** A call is given up after this, whatever was tried. */
const CALL_MS = 8_000;
/** For one member to answer a read; then another one is asked. */
const READ_ATTEMPT_MS = 2_500;
const PAUSE_MIN_US = 50_000;
const PAUSE_SPREAD_US = 150_000;

const KV = serviceDefinition('etcdserverpb.KV');
const LEASE = serviceDefinition('etcdserverpb.Lease');

/** How often a call may be carried out: once, or as often as it takes. */
type Repeat = 'once' | 'repeatable';

/**
 * `Coordination` over the etcd v3 API at any of several members: ours, or those of an etcd cluster. Stays with a member as long as it
 * answers; one that is cut off from the others says so itself (`hasleader`). A write goes on to the next member only while it was
 * certainly not done.
 */
export class EtcdCoordination implements Coordination {
  private current: number;
  private readonly session: EtcdSession;
  private readonly watches = new Set<EtcdWatch>();

  constructor(
    private readonly ports: EtcdPorts,
    private readonly options: EtcdOptions,
  ) {
    this.current = ports.random.below(options.endpoints.length);
    const identity: Record<string, string> = options.identity === 'service' ? { 'synod-identity': 'service' } : {};
    this.session = new EtcdSession(ports.channels, { hasleader: 'true', ...identity }, options.credentials);
  }

  async range(key: Buffer, rangeEnd?: Buffer): Promise<{ revision: bigint; entries: readonly CoordinationEntry[] }> {
    const { header, kvs } = await this.call(KV.Range, { key, ...rangeEndToWire(rangeEnd) }, 'repeatable');
    return { revision: revisionOf(header), entries: kvs.map(entryFromWire) };
  }

  async transaction(request: {
    readonly compare: readonly Compare[];
    readonly success: readonly Operation[];
    readonly failure: readonly Operation[];
  }): Promise<TransactionResult> {
    const message = {
      compare: request.compare.map(toCompare),
      success: request.success.map(toOperation),
      failure: request.failure.map(toOperation),
    };
    const writes = [...request.success, ...request.failure].some(({ kind }) => kind !== 'range');
    const { header, succeeded, responses } = await this.call(KV.Txn, message, writes ? 'once' : 'repeatable');
    const ranges = responses.map(({ responseRange }) => (responseRange?.kvs ?? []).map(entryFromWire));
    return { revision: revisionOf(header), succeeded, ranges };
  }

  async grantLease(ttlSeconds: number): Promise<bigint> {
    return BigInt((await this.call(LEASE.LeaseGrant, { TTL: ttlSeconds }, 'once')).ID);
  }

  async keepLeaseAlive(lease: bigint): Promise<number> {
    return this.attempts('repeatable', (address) => this.keepAliveAt(address, lease));
  }

  async revokeLease(lease: bigint): Promise<void> {
    await this.call(LEASE.LeaseRevoke, { ID: lease.toString() }, 'once');
  }

  watch(range: { key: Buffer; rangeEnd?: Buffer; startRevision: bigint }, handler: WatchHandler): () => void {
    const watch = new EtcdWatch(this.ports, this.options.endpoints, this.session, range, handler);
    this.watches.add(watch);
    watch.dial();
    return () => {
      this.watches.delete(watch);
      watch.cancel();
    };
  }

  /** Ends every watch. The channels belong to the caller. */
  close(): void {
    for (const watch of this.watches) watch.cancel();
    this.watches.clear();
  }

  private call<Request extends MessageShape, Response extends MessageShape>(
    method: MethodDefinition<Request, Response>,
    request: Request['input'],
    repeat: Repeat,
  ): Promise<Response['output']> {
    const idempotent = repeat === 'repeatable';
    return this.attempts(repeat, (address, deadlineMs) =>
      this.ports.channels.callUnary(address, method, request, {
        deadlineMs,
        idempotent,
        metadata: this.session.metadata,
      }),
    );
  }

  /** Asks one member after another until one answers, or it can no longer be done without harm. */
  private async attempts<T>(repeat: Repeat, ask: (address: string, deadlineMs: number) => Promise<T>): Promise<T> {
    const { clock, timers, random } = this.ports;
    const { endpoints } = this.options;
    const deadlineUs = clock.monotonicUs() + CALL_MS * 1_000;
    for (;;) {
      const asked = this.current;
      const leftMs = Math.ceil((deadlineUs - clock.monotonicUs()) / 1_000);
      const attemptMs = repeat === 'repeatable' ? Math.min(READ_ATTEMPT_MS, leftMs) : leftMs;
      const pauseUs = PAUSE_MIN_US + random.below(PAUSE_SPREAD_US);
      try {
        return await this.admitted(endpoints[asked] ?? '', attemptMs, ask);
      } catch (error) {
        const failure = asFailure(error, repeat);
        if (failure.kind !== 'unavailable' || clock.monotonicUs() + pauseUs >= deadlineUs) throw failure;
        if (this.current === asked) this.current = (asked + 1) % endpoints.length;
      }
      await new Promise<void>((resolve) => timers.after(pauseUs, resolve));
    }
  }

  /** Asks one member; once more, with a new token, if it wants to know who is asking. */
  private async admitted<T>(
    address: string,
    deadlineMs: number,
    ask: (address: string, deadlineMs: number) => Promise<T>,
  ): Promise<T> {
    try {
      return await ask(address, deadlineMs);
    } catch (error) {
      if (!this.session.mayRenewAfter(error)) throw error;
    }
    await this.session.renew(address, READ_ATTEMPT_MS);
    return ask(address, deadlineMs);
  }

  /** One renewal on a stream of its own: the API has no other form for it, and renewals are rare. */
  private keepAliveAt(address: string, lease: bigint): Promise<number> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        cancel();
        stream.close();
        act();
      };
      const cancel = this.ports.timers.after(READ_ATTEMPT_MS * 1_000, () =>
        settle(() =>
          reject(new SynodError('unavailable', `${address} did not renew a lease in ${READ_ATTEMPT_MS} ms`)),
        ),
      );
      const stream = this.ports.channels.openStream(
        address,
        LEASE.LeaseKeepAlive,
        {
          receive: ({ TTL }) => settle(() => resolve(Number(TTL))),
          closed: (error) => {
            cancel();
            reject(error ?? new SynodError('unavailable', `${address} ended the renewal of a lease`));
          },
        },
        { idempotent: true, metadata: this.session.metadata },
      );
      stream.send({ ID: lease.toString() });
    });
  }
}

function revisionOf(header: etcdserverpb.ResponseHeader__Output | null): bigint {
  return BigInt(header?.revision ?? 0);
}

/** What a failed attempt means. */
function asFailure(error: unknown, repeat: Repeat): SynodError {
  if (!(error instanceof SynodError)) throw error;
  // A member without a leader refuses before it does anything.
  const refused = statusOf(error)?.details === 'etcdserver: no leader';
  const lost = error.kind === 'outcome-unknown' && repeat === 'repeatable';
  return refused || lost ? new SynodError('unavailable', error.message, { cause: error }) : error;
}
