import { readConfig } from './config';

const argv = ['--node-id', 's1', '--data-dir', '/tmp/s1', '--consensus', '127.0.0.1:2379,127.0.0.1:2389'];

it('listens on loopback for clients and peers, and advertises where it listens, unless told otherwise', () => {
  expect(readConfig({ argv, env: {} })).toMatchObject({
    listen: '127.0.0.1:2500',
    advertise: '127.0.0.1:2500',
    peerListen: '127.0.0.1:2600',
    peerAdvertise: '127.0.0.1:2600',
    consensus: ['127.0.0.1:2379', '127.0.0.1:2389'],
  });
  const abroad = ['--listen', '0.0.0.0:2500', '--insecure-listen', '--peer-advertise', 'db1.example:2600'];
  expect(readConfig({ argv: [...argv, ...abroad], env: { SYNOD_ADVERTISE: 'db1.example:2500' } })).toMatchObject({
    advertise: 'db1.example:2500',
    peerAdvertise: 'db1.example:2600',
  });
});

it.each([
  [['--peer-listen', '0.0.0.0:2600'], {}, /--peer-listen 0\.0\.0\.0:2600 .*--insecure-listen/],
  [['--listen', 'nowhere'], {}, /--listen "nowhere"/],
  [[], { SYNOD_PEER_ADVERTISE: 'x' }, /SYNOD_PEER_ADVERTISE/],
  [['--shards', '64'], {}, /unknown argument --shards/],
])('refuses %j with %j, naming the culprit', (flags, env, message) => {
  expect(() => readConfig({ argv: [...argv, ...flags], env })).toThrow(message);
});
