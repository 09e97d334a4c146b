/** Structured facts that belong to a log line; ids and numbers, never secrets or values of users. */
export type LogFields = Readonly<Record<string, string | number | boolean | bigint | undefined>>;

/** Where a node says what it does, as a port: winston in production, the trace in simulation. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Says nothing; for tests that are about something else. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
