import type { Http2Session } from 'node:http2';
import type { RpcLimits } from './limits';

/** Asks a connection for a sign of life again and again until it is closed, and cuts it if there is none. */
export function keepAlive(
  session: Http2Session,
  { keepaliveTimeMs, keepaliveTimeoutMs }: Pick<RpcLimits, 'keepaliveTimeMs' | 'keepaliveTimeoutMs'>,
): void {
  // In looks, not in time: what came while this process paused is read after its timers have run.
  const patience = Math.ceil(keepaliveTimeoutMs / keepaliveTimeMs);
  let unanswered = 0;
  const look = setInterval(() => {
    if (session.destroyed || session.connecting) return;
    if (unanswered > patience) return session.destroy();
    if (unanswered++ === 0) session.ping(() => (unanswered = 0));
  }, keepaliveTimeMs).unref();
  session.once('close', () => clearInterval(look));
}
