import { clusterKey, consensusTls, EtcdCoordination, type EtcdCredentials } from '@synod/coordination';
import { GrpcChannels, grpcTransport, TlsMaterial, type TlsFiles } from '@synod/rpc';
import { silentLog, SynodError, systemClock, systemRandom, systemTimers, type Log } from '@synod/runtime';
import { SynodClient } from './synod-client';

export interface ConnectOptions {
  /** `host:port` of consensus members, at least one; everything else is discovered through them. */
  readonly endpoints: readonly string[];
  /** As whom, where the consensus service checks its users. */
  readonly credentials?: EtcdCredentials | undefined;
  /** How long the members are given to answer for the first time; 8 s by default, about two elections. */
  readonly timeoutMs?: number;
  /** Whom to trust as a consensus member, and what to prove oneself with there; without it they are called in the clear. */
  readonly tls?: TlsFiles;
  readonly log?: Log;
}

const TIMEOUT_MS = 8_000;

/**
 * A client of a real cluster, over gRPC. To be closed when it is not needed any more.
 * @throws {SynodError} `unavailable`, naming the endpoints, if none of them answers in time; `invalid-argument`, naming the file, if one of
 *   `tls` cannot be used
 */
export async function connect({
  endpoints,
  credentials,
  timeoutMs = TIMEOUT_MS,
  tls,
  log = silentLog,
}: ConnectOptions): Promise<SynodClient> {
  if (endpoints.length === 0) throw new SynodError('invalid-argument', 'no endpoint is given: name a consensus member');
  const material = tls && new TlsMaterial(tls, log);
  const channels = new GrpcChannels({}, consensusTls(material));
  const clocks = { clock: systemClock, timers: systemTimers, random: systemRandom };
  const coordination = new EtcdCoordination({ ...clocks, channels }, { endpoints, identity: 'client', credentials });
  const transport = grpcTransport({ channels, log, fault: crash });
  const release = (): void => {
    coordination.close();
    channels.close();
    material?.close();
  };
  try {
    await withinMs(timeoutMs, coordination.range(clusterKey()), endpoints);
  } catch (error) {
    release();
    throw error;
  }
  return new SynodClient(coordination, () => endpoints, { ...clocks, transport, log }, release);
}

/** The first answer of any member. @throws {SynodError} `unavailable`, saying what was tried */
async function withinMs(timeoutMs: number, answer: Promise<unknown>, endpoints: readonly string[]): Promise<void> {
  let cancel: () => void = () => undefined;
  const late = new Promise<never>((_resolve, reject) => {
    cancel = systemTimers.after(timeoutMs * 1_000, () =>
      reject(new SynodError('unavailable', `no answer in ${timeoutMs} ms`)),
    );
  });
  try {
    await Promise.race([answer, late]);
  } catch (error) {
    if (!(error instanceof SynodError) || error.kind !== 'unavailable') throw error;
    const message = `no consensus member answers at ${endpoints.join(', ')}: ${error.message}`;
    throw new SynodError('unavailable', message, { cause: error });
  } finally {
    cancel();
  }
}

/** A handler or codec threw: a bug of this library, which must not be swallowed by the connection it happened on. */
function crash(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}
