/** One way of doing a thing, to be timed in turns with others. */
export interface Contender {
  readonly name: string;
  /** Runs for about `seconds`; returns what it did and how long each operation took. */
  run(seconds: number): Promise<Sample>;
}

export interface Sample {
  readonly operations: number;
  readonly seconds: number;
  /** Milliseconds per operation, in any order; may be a sample of all. */
  readonly latenciesMs: readonly number[];
}

/** A contender's figures: medians over the rounds. */
export interface Figures {
  readonly name: string;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/**
 * Times contenders in turns, so that whatever else the machine does meets all of them alike. The first round warms up and does not count.
 * @param say told of each turn
 */
export async function inTurns(
  contenders: readonly Contender[],
  options: { readonly rounds: number; readonly seconds: number; readonly say: (text: string) => void },
): Promise<Figures[]> {
  const samples = new Map<string, Sample[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round <= options.rounds; round++) {
    for (const contender of contenders) {
      const sample = await contender.run(round === 0 ? options.seconds / 2 : options.seconds);
      const rate = Math.round(sample.operations / sample.seconds);
      options.say(`${round === 0 ? 'warm-up' : `round ${round}`}: ${contender.name} ${rate}/s`);
      if (round > 0) samples.get(contender.name)?.push(sample);
    }
  }
  return [...samples].map(([name, own]) => ({
    name,
    perSecond: median(own.map(({ operations, seconds }) => operations / seconds)),
    p50Ms: median(own.map(({ latenciesMs }) => quantile(latenciesMs, 0.5))),
    p99Ms: median(own.map(({ latenciesMs }) => quantile(latenciesMs, 0.99))),
  }));
}

/** A table with each contender's rate as a multiple of the first one's. */
export function ratioTable(figures: readonly Figures[]): string {
  const [first] = figures;
  const rows = figures.map(({ name, perSecond, p50Ms, p99Ms }) => [
    name,
    Math.round(perSecond).toLocaleString('en'),
    (perSecond / (first?.perSecond ?? 1)).toFixed(2),
    p50Ms.toFixed(2),
    p99Ms.toFixed(2),
  ]);
  return table([['', 'per second', 'ratio', 'p50 ms', 'p99 ms'], ...rows]);
}

/** Rows of cells as aligned text: names to the left, figures to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  '),
    )
    .join('\n');
}

/**
 * Keeps `inflight` operations going for `seconds`. An operation that fails ends the measurement: a figure with errors in it is none.
 */
export async function closedLoop(inflight: number, seconds: number, operation: () => Promise<void>): Promise<Sample> {
  const latenciesMs: number[] = [];
  const startedAt = performance.now();
  const endsAt = startedAt + seconds * 1000;
  const worker = async (): Promise<void> => {
    for (let now = performance.now(); now < endsAt;) {
      await operation();
      const after = performance.now();
      latenciesMs.push(after - now);
      now = after;
    }
  };
  await Promise.all(Array.from({ length: inflight }, worker));
  return { operations: latenciesMs.length, seconds: (performance.now() - startedAt) / 1000, latenciesMs };
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
