import { formatUrl, parseEndpoint } from './endpoint';

describe('parseEndpoint', () => {
  it.each([
    ['127.0.0.1:1', { scheme: undefined, address: '127.0.0.1:1' }, 'http://127.0.0.1:1'],
    ['http://db1:2379', { scheme: 'http', address: 'db1:2379' }, 'http://db1:2379'],
    ['HTTPS://[::1]:2379', { scheme: 'https', address: '[::1]:2379' }, 'https://[::1]:2379'],
  ])('reads %s', (text, endpoint, url) => {
    expect(parseEndpoint(text)).toEqual(endpoint);
    expect(formatUrl(parseEndpoint(text))).toBe(url);
  });

  it.each(['', 'http://', 'http://host', 'http://host:1/path', 'http://user@host:1', 'unix://host:1', 'host:70000'])(
    'refuses %j',
    (text) => {
      expect(() => parseEndpoint(text)).toThrow(/is not (an address|served)/);
    },
  );
});
