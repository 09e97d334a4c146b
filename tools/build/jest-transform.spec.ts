interface Transform {
  getCacheKey(source: string, filename: string, options: { instrument: boolean; configString: string }): string;
}
const { getCacheKey } = jest.requireActual<Transform>('./jest-transform.cjs');

it('keeps a transformed file under a key of all that it depends on', () => {
  const options = { instrument: false, configString: '{}' };
  const key = getCacheKey('x', 'a.ts', options);
  const others = [
    getCacheKey('y', 'a.ts', options),
    getCacheKey('x', 'b.ts', options),
    getCacheKey('x', 'a.ts', { ...options, instrument: true }),
    getCacheKey('x', 'a.ts', { ...options, configString: '{ }' }),
  ];
  expect(getCacheKey('x', 'a.ts', options)).toBe(key);
  expect(new Set([key, ...others]).size).toBe(5);
});
