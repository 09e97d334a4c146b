/** How the network of one seed behaves when nothing special happens to it. Times in virtual microseconds. */
export interface NetworkShape {
  /** Each directed link draws its own least delay from 0 to this. */
  readonly delayMinUsMax: number;
  /** Each directed link draws the mean of its exponential extra delay from 0 to this. */
  readonly delayMeanUsMax: number;
  /**
   * Protocols (by name) whose messages may be lost, repeated and reordered inside a connection: what a correct Paxos survives though
   * production's streams never do it. The first message of each direction, the handshake, is exempt, and arrives before the rest.
   */
  readonly datagramProtocols: readonly string[];
  readonly lossPermille: number;
  readonly duplicatePermille: number;
  /** Messages accepted by one end of a connection and not yet received by the other, at most. */
  readonly queueMax: number;
  /** Messages travel as the bytes of their protocol's codec instead of as frozen objects. */
  readonly codec: boolean;
  /** After this without an answer a dial has failed. */
  readonly dialTimeoutUs: number;
  /** Of a thousand dials into a cut, how many are refused at once: by a firewall, say, in place of the machine behind it. */
  readonly rejectPermille: number;
  /** How long it takes to notice that the other end fell silent: a lost power, a cut link. */
  readonly silenceMinUs: number;
  readonly silenceMaxUs: number;
}

/** How the disks of one seed behave. Means of exponential times in virtual microseconds. */
export interface DiskShape {
  readonly readMeanUs: number;
  readonly writeMeanUs: number;
  readonly syncMinUs: number;
  readonly syncMeanUs: number;
}

/** How late the timers of one seed run: an event loop is never on time. */
export interface TimerShape {
  /** Each timer of non-zero delay is late by 0 to this. */
  readonly latenessUsMax: number;
  /** Work "at the end of this turn" waits 0 to this, so that more arrives in the same turn. */
  readonly turnUsMax: number;
}

export interface WorldShape {
  readonly network: NetworkShape;
  readonly disk: DiskShape;
  readonly timers: TimerShape;
}

/** A local network without faults. */
export const CALM: WorldShape = {
  network: {
    delayMinUsMax: 200,
    delayMeanUsMax: 300,
    datagramProtocols: [],
    lossPermille: 0,
    duplicatePermille: 0,
    queueMax: 10_000,
    codec: false,
    dialTimeoutUs: 3_000_000,
    rejectPermille: 0,
    silenceMinUs: 1_000_000,
    silenceMaxUs: 8_000_000,
  },
  disk: { readMeanUs: 40, writeMeanUs: 30, syncMinUs: 200, syncMeanUs: 600 },
  timers: { latenessUsMax: 1_000, turnUsMax: 0 },
};

/** @returns a local network without faults but for what is given */
export function calmBut(network: Partial<NetworkShape>): WorldShape {
  return { ...CALM, network: { ...CALM.network, ...network } };
}
