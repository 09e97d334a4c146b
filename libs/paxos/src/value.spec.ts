import { NO_OP, sameValue, valueBytes } from './value';
import { value } from './testing/values';

describe('values', () => {
  it('are the same if their bytes are', () => {
    expect(sameValue(value('x'), value('x'))).toBe(true);
    expect(sameValue(value('x'), value('y'))).toBe(false);
    expect(sameValue(value('x'), [...value('x'), ...value('y')])).toBe(false);
    expect(sameValue(NO_OP, [])).toBe(true);
    expect(sameValue(NO_OP, value(''))).toBe(false); // An empty command is a command.
  });

  it('have a size even when empty, so that no page holds infinitely many', () => {
    expect(valueBytes(NO_OP)).toBeGreaterThan(0);
    expect(valueBytes(value('xyz'))).toBeGreaterThan(valueBytes(value('')) + 2);
  });
});
