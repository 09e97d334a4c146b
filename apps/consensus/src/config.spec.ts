import { readConfig } from './config';

const read = (...argv: string[]): ReturnType<typeof readConfig> =>
  readConfig({ argv: ['--node-id', 'n1', '--data-dir', '/n1', ...argv], env: {} });

it.each([
  [[], 2 * 2 ** 30],
  [['--quota-backend-bytes', '0'], 2 * 2 ** 30],
  [['--quota-backend-bytes=-1'], Infinity],
  [['--quota-backend-bytes', '1000000'], 1_000_000],
])('with %j the quota is %d bytes', (argv, bytes) => {
  expect(read(...argv).quotaBackendBytes).toBe(bytes);
});

describe('retention of the history', () => {
  it('is everything unless something is said', () => {
    expect(read().retention).toBeUndefined();
    expect(read('--auto-compaction-mode', 'revision').retention).toBeUndefined();
  });

  it.each([
    ['1', 3_600],
    ['90s', 90],
    ['1h30m', 5_400],
    ['5m', 300],
  ])('of %s is a time', (text, seconds) => {
    expect(read('--auto-compaction-retention', text).retention).toEqual({
      mode: 'periodic',
      periodUs: seconds * 1_000_000,
    });
  });

  it('is a number of revisions in that mode', () => {
    const { retention } = read('--auto-compaction-mode', 'revision', '--auto-compaction-retention', '1000');
    expect(retention).toEqual({ mode: 'revision', revisions: 1_000n });
  });

  it.each([
    [['--auto-compaction-retention', 'soon'], 'hours or a time such as 1h30m is wanted'],
    [['--auto-compaction-retention', ''], '--auto-compaction-retention'],
    [['--auto-compaction-mode', 'revision', '--auto-compaction-retention', '5m'], 'a number of revisions is wanted'],
    [['--auto-compaction-mode', 'often'], 'one of periodic, revision'],
    [['--quota-backend-bytes', 'much'], 'a number of bytes is wanted'],
  ])('%j is refused', (argv, text) => {
    expect(() => read(...argv)).toThrow(text);
  });
});
