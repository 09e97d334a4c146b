import winston from 'winston';
import { currentTraceId } from '@synod/rpc';
import type { Log, LogFields } from '@synod/runtime';

/** The `Log` port as JSON lines on stderr, each with service, node and, inside a request, its trace id. */
export class ServiceLog implements Log {
  private readonly logger: winston.Logger;

  constructor(identity: { readonly service: string; readonly node: string }, level: string) {
    this.logger = winston.createLogger({
      level,
      defaultMeta: identity,
      format: winston.format.combine(winston.format.timestamp(), winston.format.json({ bigint: true })),
      transports: [new winston.transports.Stream({ stream: process.stderr })],
    });
  }

  debug(message: string, fields?: LogFields): void {
    this.write('debug', message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.write('info', message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.write('warn', message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.write('error', message, fields);
  }

  private write(level: string, message: string, fields: LogFields | undefined): void {
    const traceId = currentTraceId();
    this.logger.log(level, message, { ...fields, ...(traceId === undefined ? {} : { traceId }) });
  }
}
