/** Chance, as a port: seeded in simulation, the operating system's in production. */
export interface Random {
  /** A uniform integer in `[0, bound)`; `bound` is from 1 to 2^32. */
  below(bound: number): number;
  /** `length` random bytes. */
  bytes(length: number): Buffer;
}
