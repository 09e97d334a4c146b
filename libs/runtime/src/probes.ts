/**
 * Marks that a rare state was reached. A simulation campaign fails if a registered state was never seen: a test that does not
 * reach a state proves nothing about it. In production it does nothing.
 */
export interface Probes {
  sometimes(state: string): void;
}

export const noProbes: Probes = { sometimes: () => undefined };
