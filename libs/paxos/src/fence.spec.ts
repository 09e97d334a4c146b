import { NO_BALLOT } from './ballot';
import { changeTo, foundingOf } from './configuration';
import { isFenced, stamped, stampOf } from './fence';
import { ballot, value } from './testing/values';
import { NO_OP } from './value';

describe('the ballot that a value names', () => {
  it('is read back, however large', () => {
    const huge = { round: 0xffff_ffff, replica: 0xffff_ffff };
    expect(stampOf(stamped(value('x'), huge))).toEqual(huge);
    expect(stampOf(stamped([], ballot('7.2')))).toEqual(ballot('7.2'));
  });

  it('is read from bytes that lie inside a larger buffer', () => {
    const [stamp] = stamped([], ballot('7.2'));
    const larger = Buffer.concat([Buffer.from('before'), stamp!, Buffer.from('after')]);
    expect(stampOf([larger.subarray(6, 6 + stamp!.length)])).toEqual(ballot('7.2'));
  });

  it('is absent from no-ops, changes, and commands of callers', () => {
    const others = [NO_OP, changeTo(foundingOf([{ replicaId: 1 }])), value('x'), [Uint8Array.of(0, 0x66, 0x6e, 0x63)]];
    expect(others.map(stampOf)).toEqual([undefined, undefined, undefined, undefined]);
  });

  it('fences a value off if a higher one came before it', () => {
    const late = stamped(value('x'), ballot('2.1'));
    expect([NO_BALLOT, ballot('2.1'), ballot('2.2')].map((term) => isFenced(late, term))).toEqual([false, false, true]);
    expect(isFenced(value('x'), ballot('9.9'))).toBe(false);
  });
});
