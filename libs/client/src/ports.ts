import type { Clock, Log, Random, Timers, Transport } from '@synod/runtime';

/** What the client needs of the world: real in a program, simulated in a world of @synod/simulation. */
export interface ClientPorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly transport: Transport;
  readonly log: Log;
}
