import { SynodError } from '@synod/runtime';
import type { CallContext } from './call-context';
import type { ServiceHandlers } from './handlers';

type ServingStatus = 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';

/** The name under which health means the server as a whole. */
const WHOLE_SERVER = '';

/** Which services of a server can do their work now; answers gRPC's health protocol. */
export class Health {
  private readonly serving = new Map<string, boolean>([[WHOLE_SERVER, true]]);
  private readonly watchers = new Set<() => void>();
  private ended = false;

  /**
   * Says whether a service can do its work: a consensus node without a quorum cannot.
   * @param service full name, or nothing for the server as a whole, which probes ask about by default
   */
  set(serving: boolean, service = WHOLE_SERVER): void {
    this.serving.set(service, serving);
    this.wake();
  }

  isServing(service = WHOLE_SERVER): boolean {
    return this.statusOf(service) === 'SERVING';
  }

  /** From now on nothing is serving: the server stops. */
  end(): void {
    this.ended = true;
    this.wake();
  }

  handlers(): ServiceHandlers<'grpc.health.v1.Health'> {
    return {
      Check: ({ service }) => {
        const status = this.statusOf(service);
        if (status !== 'SERVICE_UNKNOWN') return { status };
        throw new SynodError('not-found', `this server has no service ${JSON.stringify(service)}`);
      },
      List: () => ({
        statuses: Object.fromEntries([...this.serving.keys()].map((name) => [name, { status: this.statusOf(name) }])),
      }),
      Watch: ({ service }, context) => this.watch(service, context),
    };
  }

  private statusOf(service: string): ServingStatus {
    const serving = this.serving.get(service);
    if (serving === undefined) return 'SERVICE_UNKNOWN';
    return serving && !this.ended ? 'SERVING' : 'NOT_SERVING';
  }

  private async *watch(service: string, { signal }: CallContext): AsyncGenerator<{ status: ServingStatus }> {
    let told: ServingStatus | undefined;
    while (!signal.aborted) {
      const status = this.statusOf(service);
      if (status !== told) {
        told = status;
        yield { status };
      } else await this.change(signal);
    }
  }

  /** Resolves at the next change of anything, or when the watcher is gone. */
  private change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.watchers.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.watchers.add(done);
      signal.addEventListener('abort', done);
    });
  }

  private wake(): void {
    for (const watcher of [...this.watchers]) watcher();
  }
}
