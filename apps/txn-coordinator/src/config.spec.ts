import { readConfig } from './config';

const argv = ['--node-id', 't1', '--data-dir', '/tmp/t1', '--consensus', '127.0.0.1:2379,127.0.0.1:2389'];

it('listens on loopback, and advertises where it listens, unless told otherwise', () => {
  expect(readConfig({ argv, env: {} })).toMatchObject({
    listen: '127.0.0.1:2700',
    advertise: '127.0.0.1:2700',
    consensus: ['127.0.0.1:2379', '127.0.0.1:2389'],
  });
  const abroad = [...argv, '--listen', '0.0.0.0:2700', '--insecure-listen', '--advertise', 'db1.example:2700'];
  expect(readConfig({ argv: abroad, env: {} })).toMatchObject({
    listen: '0.0.0.0:2700',
    advertise: 'db1.example:2700',
  });
});

it.each([
  [['--listen', '0.0.0.0:2700'], {}, /--listen 0\.0\.0\.0:2700 .*--insecure-listen/],
  [['--http-listen', '10.0.0.1:3700'], {}, /--http-listen/],
  [[], { SYNOD_SESSIONS_MAX: 'many' }, /SYNOD_SESSIONS_MAX.*whole number/],
  [['--consenus', 'x'], {}, /unknown argument --consenus/],
])('refuses %j with %j, naming the culprit', (flags, env, message) => {
  expect(() => readConfig({ argv: [...argv, ...flags], env })).toThrow(message);
});

it('names a flag that is missing', () => {
  expect(() => readConfig({ argv: argv.slice(0, 4), env: {} })).toThrow(/--consensus is missing/);
});
