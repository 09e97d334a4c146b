import type { InvariantViolation } from '@synod/invariant';
import type { Log, LogFields } from '@synod/runtime';
import { GrpcChannels } from './channels';
import { GrpcServer } from './grpc-server';
import type { RpcLimits } from './limits';

/** A listening server with channels to call it, and what it logged, counted and reported meanwhile. For specs. */
export interface TestServer {
  readonly server: GrpcServer;
  readonly channels: GrpcChannels;
  readonly address: string;
  readonly logged: { readonly level: string; readonly message: string; readonly fields: LogFields }[];
  /** Calls that ended, as `method code`. */
  readonly calls: string[];
  readonly faults: InvariantViolation[];
}

export async function withServer(
  limits: Partial<RpcLimits>,
  prepare: (server: GrpcServer) => void,
  scenario: (bench: TestServer) => Promise<void>,
): Promise<void> {
  const logged: TestServer['logged'] = [];
  const calls: string[] = [];
  const faults: InvariantViolation[] = [];
  const at =
    (level: string) =>
    (message: string, fields: LogFields = {}) =>
      void logged.push({ level, message, fields });
  const log: Log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  const server = new GrpcServer({
    log,
    limits,
    fault: (error) => faults.push(error),
    observer: {
      callEnded: (method, code) => calls.push(`${method} ${code}`),
      streamOpened: () => undefined,
      streamClosed: () => undefined,
    },
  });
  const channels = new GrpcChannels();
  try {
    prepare(server);
    const address = `127.0.0.1:${(await server.listen('127.0.0.1:0')).port}`;
    await scenario({ server, channels, address, logged, calls, faults });
  } finally {
    channels.close();
    await server.stop({ drainMs: 0 });
  }
}

/** A promise and the hand that settles it. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open: () => open() };
}
