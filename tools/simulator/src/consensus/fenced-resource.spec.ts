import { FencedResource } from './fenced-resource';

const anomalies = (play: (resource: FencedResource) => void): string[] => {
  const resource = new FencedResource();
  play(resource);
  return resource.anomalies.map(({ name }) => name);
};

// Burrows, "The Chubby Lock Service", §2.4: a sequencer lets what is protected refuse an owner of the past.
describe('the referee over a lock', () => {
  it('has nothing to say of owners that follow one another, each with a higher token', () => {
    expect(
      anomalies((resource) => {
        expect(resource.use({ owner: 'a', token: 3n, certain: true })).toBe(true);
        expect(resource.use({ owner: 'a', token: 3n, certain: true })).toBe(true);
        expect(resource.use({ owner: 'b', token: 7n, certain: true })).toBe(true);
      }),
    ).toEqual([]);
  });

  it('keeps out an owner of the past, who could not be certain any more', () => {
    expect(
      anomalies((resource) => {
        resource.use({ owner: 'b', token: 7n, certain: true });
        expect(resource.use({ owner: 'a', token: 3n, certain: false })).toBe(false);
        resource.deposed({ owner: 'a', token: 3n, certain: false });
      }),
    ).toEqual([]);
  });

  it('sees two that own at once', () => {
    expect(
      anomalies((resource) => {
        resource.use({ owner: 'a', token: 3n, certain: true });
        resource.use({ owner: 'b', token: 7n, certain: true });
        resource.use({ owner: 'a', token: 3n, certain: true });
      }),
    ).toEqual(['owner-fenced-off']);
  });

  it('sees a token that did not grow, and one that was given twice', () => {
    expect(
      anomalies((resource) => {
        resource.use({ owner: 'a', token: 7n, certain: true });
        resource.use({ owner: 'b', token: 7n, certain: true });
        resource.use({ owner: 'b', token: 6n, certain: true });
      }),
    ).toEqual(['owner-fenced-off', 'owner-fenced-off']);
  });

  it('sees a place taken away from one whose lease lives', () => {
    expect(anomalies((resource) => resource.deposed({ owner: 'a', token: 3n, certain: true }))).toEqual([
      'owner-deposed',
    ]);
  });
});
