/** Named sums that tasks report: records, bytes, whatever a sanity check needs. Exact, because only committed attempts count. */
export type Counters = Readonly<Record<string, number>>;

export function addCounters(sum: Record<string, number>, counters: Counters): void {
  for (const [name, value] of Object.entries(counters)) sum[name] = (sum[name] ?? 0) + value;
}
