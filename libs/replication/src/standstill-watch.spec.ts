import { StandstillWatch } from './standstill-watch';

describe('StandstillWatch', () => {
  it('notices that the wall clock went on while the monotonic one did not, once', () => {
    const clock = { us: 5_000_000, ms: 1_000_000 };
    const watch = new StandstillWatch({ monotonicUs: () => clock.us, wallMs: () => clock.ms });
    const after = (us: number, ms: number): boolean => {
      clock.us += us;
      clock.ms += ms;
      return watch.look();
    };
    expect(after(0, 0)).toBe(false);
    expect(after(3_000_000, 3_000)).toBe(false);
    expect(after(1_000, 101)).toBe(false);
    expect(after(1_000, 102)).toBe(true);
    expect(after(1_000, 1)).toBe(false);
    // Set back, or a process that stood still alone: the monotonic clock tells.
    expect(after(1_000, -3_600_000)).toBe(false);
    expect(after(9_000_000, 0)).toBe(false);
  });
});
