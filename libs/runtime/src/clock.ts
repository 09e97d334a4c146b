/** Stops what was scheduled; harmless when it already ran or was cancelled before. */
export type Cancel = () => void;

/** A node's own view of time. Intervals are measured with `monotonicUs` only; `wallMs` is for people and for the oracle. */
export interface Clock {
  /** Microseconds since some fixed start. Never goes back; keeps to the stated drift bound. */
  monotonicUs(): number;
  /** Milliseconds since 1970-01-01 UTC. May jump either way. */
  wallMs(): number;
}

/** Work for later, in the node's own time. */
export interface Timers {
  /**
   * Runs `run` once, no sooner than `delayUs` microseconds from now and never inside this call. 0 means "once the current
   * turn of the event loop is over": what a host uses to batch everything that arrived together.
   */
  after(delayUs: number, run: () => void): Cancel;
}
