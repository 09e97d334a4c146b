import { SynodError, type Cancel, type Clock, type Log, type Random, type Timers } from '@synod/runtime';
import { nodeCodec, nodeKey, nodesPrefix, prefixRange, type NodeRegistration, type Service } from './metadata';
import type { Coordination, CoordinationEntry } from './port';
import { RangeMirror } from './range-mirror';

/** How long a silent node stays listed. Long enough for a new leader of the coordination store to be elected meanwhile. */
export const REGISTRATION_TTL_SECONDS = 10;
/** Three tries fit in a lease. */
const KEEP_ALIVE_US = (REGISTRATION_TTL_SECONDS / 3) * 1_000_000;
const RETRY_US = 500_000;
/** A node that stops does not wait longer for a store that may be stopping too. */
const FAREWELL_US = 500_000;

interface RegistryPorts {
  readonly coordination: Coordination;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Announces a running node under a lease and keeps the lease alive; announces it again if the lease was lost.
 * A name is held by one data folder at a time: while another incarnation's lease lives, the registration waits.
 */
export class Registration {
  private current: NodeRegistration;
  private lease: bigint | undefined;
  private announced = false;
  private stopped = false;
  private cancelNext: Cancel = () => undefined;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly ports: RegistryPorts,
    node: NodeRegistration,
  ) {
    this.current = node;
  }

  /** True while the node is announced with what it last said about itself, as far as this end knows. */
  get registered(): boolean {
    return this.announced;
  }

  start(): void {
    this.soon(0);
  }

  /** Changes what the node says about itself. */
  update(change: Partial<Omit<NodeRegistration, 'service' | 'nodeId' | 'incarnation'>>): void {
    this.current = { ...this.current, ...change };
    this.announced = false;
    this.soon(0);
  }

  /** Takes the node off the list at once, if the store answers soon; the end of the lease does it otherwise. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.cancelNext();
    let cancel: Cancel = () => undefined;
    const late = new Promise<void>((resolve) => (cancel = this.ports.timers.after(FAREWELL_US, resolve)));
    await Promise.race([this.revoke(), late]);
    cancel();
  }

  private async revoke(): Promise<void> {
    await this.running;
    if (this.lease === undefined) return;
    await this.ports.coordination.revokeLease(this.lease).catch(ignoreUnreachable);
  }

  private soon(delayUs: number): void {
    if (this.stopped) return;
    this.cancelNext();
    this.cancelNext = this.ports.timers.after(delayUs, () => {
      this.running = this.running.then(() => this.turn());
    });
  }

  private async turn(): Promise<void> {
    if (this.stopped) return;
    try {
      if (this.lease !== undefined && (await this.ports.coordination.keepLeaseAlive(this.lease)) <= 0) this.loseLease();
      this.lease ??= await this.ports.coordination.grantLease(REGISTRATION_TTL_SECONDS);
      if (!this.announced) this.announced = await this.announce(this.lease, this.current);
      this.soon(this.announced ? KEEP_ALIVE_US : RETRY_US);
    } catch (error) {
      if (!(error instanceof SynodError)) throw error;
      // Whether the write was done is not known: announcing the same again does no harm.
      if (error.kind === 'not-found') this.loseLease();
      this.ports.log.debug('the node could not be registered; trying again', { error: error.message });
      this.soon(RETRY_US);
    }
  }

  private loseLease(): void {
    this.lease = undefined;
    this.announced = false;
  }

  /** @returns true once the store holds what `node` says, unless it changed meanwhile */
  private async announce(lease: bigint, node: NodeRegistration): Promise<boolean> {
    const key = nodeKey(node.service, node.nodeId);
    const before = (await this.ports.coordination.range(key)).entries[0];
    if (before !== undefined && nodeCodec.decode(before).incarnation !== node.incarnation) {
      this.ports.log.warn('another data folder runs under this node id; waiting for its lease to end', {
        service: node.service,
        nodeId: node.nodeId,
      });
      return false;
    }
    const result = await this.ports.coordination.transaction({
      compare: [{ key, target: 'mod-revision', equals: before?.modRevision ?? 0n }],
      success: [{ kind: 'put', key, value: nodeCodec.encode(node), lease }],
      failure: [],
    });
    return result.succeeded && node === this.current;
  }
}

/** Which nodes run now: a copy of the registrations of one service, or of all, that follows the coordination store. */
export class NodeDirectory {
  private readonly mirror: RangeMirror;

  constructor(
    private readonly ports: Omit<RegistryPorts, 'clock'>,
    service?: Service,
  ) {
    this.mirror = new RangeMirror(ports, prefixRange(nodesPrefix(service)));
  }

  /** False until the first read is in. */
  get ready(): boolean {
    return this.mirror.ready;
  }

  /** In order of service and node id. */
  nodes(service?: Service): NodeRegistration[] {
    return this.mirror
      .entries()
      .map((entry) => this.read(entry))
      .filter(
        (node): node is NodeRegistration => node !== undefined && (service === undefined || node.service === service),
      );
  }

  find(service: Service, nodeId: string): NodeRegistration | undefined {
    const entry = this.mirror.get(nodeKey(service, nodeId));
    return entry === undefined ? undefined : this.read(entry);
  }

  onChange(listener: () => void): Cancel {
    return this.mirror.onChange(listener);
  }

  /** Resolves with `find(nodes)` as soon as that is not undefined. */
  waitFor<T>(find: (nodes: NodeRegistration[]) => T | undefined, service?: Service): Promise<T> {
    return this.mirror.waitFor(() => find(this.nodes(service)));
  }

  close(): void {
    this.mirror.close();
  }

  /** A registration that cannot be read hides one node, not all. */
  private read(entry: CoordinationEntry): NodeRegistration | undefined {
    try {
      return nodeCodec.decode(entry);
    } catch (error) {
      if (!(error instanceof SynodError)) throw error;
      this.ports.log.error(error.message);
      return undefined;
    }
  }
}

function ignoreUnreachable(error: unknown): void {
  if (!(error instanceof SynodError)) throw error;
}
