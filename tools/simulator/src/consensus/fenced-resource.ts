import type { Anomaly } from '@synod/simulation';

/** What an owner knows of its own ownership. */
export interface Claim {
  readonly owner: string;
  /** The fencing token that its lock, or its election, came with. */
  readonly token: bigint;
  /** Whether it is certain that it owns at this moment: its lease was promised for longer, and it has given nothing up. */
  readonly certain: boolean;
}

/**
 * What a lock protects, and the referee over the lock: it accepts a token once a higher one has come no more. So owners of the past do no harm; and an
 * owner that is certain must never be refused, or two owned at once.
 */
export class FencedResource {
  readonly anomalies: Anomaly[] = [];
  private highest = 0n;
  private owner: string | undefined;

  /** An owner uses what it owns. @returns whether the resource let it */
  use({ owner, token, certain }: Claim): boolean {
    const refused = token < this.highest || (token === this.highest && owner !== this.owner);
    if (!refused) [this.highest, this.owner] = [token, owner];
    else if (certain) {
      const detail = `${owner} with token ${token}, after ${this.owner} with ${this.highest}`;
      this.anomalies.push({ name: 'owner-fenced-off', detail, operations: [] });
    }
    return !refused;
  }

  /** The store itself refused what an owner wrote on the condition that it owns. */
  deposed({ owner, token, certain }: Claim): void {
    if (!certain) return;
    const detail = `${owner} with token ${token} lost its place`;
    this.anomalies.push({ name: 'owner-deposed', detail, operations: [] });
  }
}
