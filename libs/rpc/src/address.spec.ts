import { formatAddress, isLoopback, parseAddress } from './address';

describe('addresses', () => {
  it.each([
    ['127.0.0.1:2379', { host: '127.0.0.1', port: 2379 }],
    ['[::1]:80', { host: '::1', port: 80 }],
    ['[fe80::1%eth0]:80', { host: 'fe80::1%eth0', port: 80 }],
    ['node-1.synod_net.example:0', { host: 'node-1.synod_net.example', port: 0 }],
  ])('read and write %s', (text, address) => {
    expect(parseAddress(text)).toEqual(address);
    expect(formatAddress(address)).toBe(text);
  });

  it.each(['', 'host', 'host:', ':80', 'host:65536', 'host:1x', '::1:80', 'http://host:80', 'a b:80', 'host:80/path'])(
    'refuse %j, quoting it',
    (text) =>
      expect(() => parseAddress(text)).toThrow(
        `${JSON.stringify(text)} is not an address; write host:port or [ipv6]:port`,
      ),
  );

  it.each([
    ['127.0.0.1:1', true],
    ['127.8.9.10:1', true],
    ['localhost:1', true],
    ['[::1]:1', true],
    ['0.0.0.0:1', false],
    ['[::]:1', false],
    ['127.evil.example:1', false],
    ['10.0.0.1:1', false],
  ])('know whether %s is loopback: %s', (text, expected) => expect(isLoopback(parseAddress(text))).toBe(expected));
});
