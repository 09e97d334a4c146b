import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { InfoRequested, loadConfig, readSettings } from './config';
import { unknownVariables } from './setting-names';
import {
  addressesSetting,
  assertListenable,
  commonSettings,
  countSetting,
  endpointsSetting,
  refusedSetting,
  switchSetting,
} from './settings';
import { UsageError } from './usage-error';

const settings = {
  ...commonSettings('127.0.0.1:2500'),
  consensus: addressesSetting('consensus members'),
  slots: countSetting('tasks at once', { min: 1, max: 64, default: 2 }),
};
const needed = ['--node-id', 'n1', '--data-dir', '/data', '--consensus', '127.0.0.1:1,127.0.0.1:2'];

function load(argv: readonly string[], env: Record<string, string> = {}) {
  return loadConfig('test', 'a service for tests', settings, { argv, env });
}

describe('loadConfig', () => {
  let folder: string;
  beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'synod-config-'))));
  afterAll(() => rmSync(folder, { recursive: true }));

  function file(content: unknown): string {
    const name = path.join(folder, 'config.json');
    writeFileSync(name, JSON.stringify(content));
    return name;
  }

  it('prefers flag to environment to file to default', () => {
    const config = file({ slots: 3, logLevel: 'warn', listen: '127.0.0.1:7' });
    expect(load([...needed, '--config', config, '--slots=5'], { SYNOD_SLOTS: '4', SYNOD_LOG_LEVEL: 'error' })).toEqual({
      nodeId: 'n1',
      dataDir: '/data',
      consensus: ['127.0.0.1:1', '127.0.0.1:2'],
      slots: 5,
      logLevel: 'error',
      listen: '127.0.0.1:7',
      insecureListen: false,
    });
  });

  it('takes a switch with and without a value', () => {
    expect(load([...needed, '--insecure-listen']).insecureListen).toBe(true);
    expect(load([...needed, '--insecure-listen', 'false']).insecureListen).toBe(false);
  });

  it.each([
    [['--colour', 'red'], {}, /^unknown argument --colour; see --help$/],
    [['--slots', '0'], {}, /^--slots "0": a whole number from 1 to 64 is wanted$/],
    [['--slots', 'many'], {}, /^--slots "many": a whole number from 1 to 64 is wanted$/],
    [[], { SYNOD_LISTEN: 'here' }, /^SYNOD_LISTEN "here": is not an address; write host:port or \[ipv6\]:port$/],
    [[], { SYNOD_LOG_LEVEL: 'loud' }, /^SYNOD_LOG_LEVEL "loud": one of debug, info, warn, error$/],
    [['--consensus', 'a'], {}, /^--consensus is given twice$/],
    [['--config', '/nowhere.json'], {}, /^the configuration file \/nowhere.json cannot be read/],
  ])('names the wrong key of %j %j', (argv, env, message) => {
    expect(() => load([...needed, ...argv], env)).toThrow(message);
    expect(() => load([...needed, ...argv], env)).toThrow(UsageError);
  });

  it('names a missing setting and an unknown key of the file', () => {
    expect(() => load(needed.slice(2))).toThrow(/^--node-id is missing \(or SYNOD_NODE_ID\); see --help$/);
    expect(() => load([...needed, '--config', file({ colour: 'red' })])).toThrow(
      /^unknown key "colour" in .*config.json/,
    );
  });

  it('says which release it is on --version, whatever else is given', () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string };
    for (const argv of [['--version'], [...needed, '--version']]) {
      expect(() => load(argv)).toThrow(expect.objectContaining({ text: `test ${version}\n` }) as Error);
    }
  });

  it('explains every setting on --help', () => {
    expect(() => load(['--help'])).toThrow(InfoRequested);
    try {
      load(['--help']);
    } catch (error) {
      expect((error as InfoRequested).text).toMatch(
        /--node-id\s+name of this node, the same at every start \(required\)/,
      );
      expect((error as InfoRequested).text).toMatch(/--slots\s+tasks at once \(default 2\)/);
      expect((error as InfoRequested).text).toMatch(/--listen\s+where clients are served \(default 127.0.0.1:2500\)/);
      expect((error as InfoRequested).text).toMatch(/--advertise\s+what others dial to reach it/);
    }
  });
});

describe('a setting with aliases', () => {
  const aliased = {
    listen: {
      schema: endpointsSetting('where it is served').default([{ scheme: undefined, address: '127.0.0.1:1' }]),
      aliases: [{ name: 'listenUrls', variablePrefix: 'OTHER_' }],
    },
    secure: switchSetting('whether it is', { default: true }),
    magic: { schema: refusedSetting('there is none'), aliases: [{ name: 'magic', variablePrefix: 'OTHER_' }] },
  };
  const read = (argv: readonly string[], env: Record<string, string> = {}) =>
    readSettings('test', 'a service for tests', aliased, { argv, env });
  const address = [{ scheme: 'http', address: 'a:1' }];

  it('goes by any of them, and says by which it was given', () => {
    const asked: [readonly string[], Record<string, string>, string][] = [
      [['--listen', 'http://a:1'], {}, '--listen'],
      [['--listen-urls=http://a:1'], { OTHER_LISTEN_URLS: 'http://b:1' }, '--listen-urls'],
      [[], { OTHER_LISTEN_URLS: 'http://a:1' }, 'OTHER_LISTEN_URLS'],
      [[], { SYNOD_LISTEN: 'http://a:1' }, 'SYNOD_LISTEN'],
    ];
    for (const [argv, env, source] of asked) {
      const { values, sources } = read(argv, env);
      expect([values.listen, sources.listen]).toEqual([address, source]);
    }
    expect(read([]).sources).toEqual({});
  });

  it('is refused when it is given under two', () => {
    expect(() => read(['--listen', 'a:1', '--listen-urls', 'a:1'])).toThrow(
      /^--listen and --listen-urls are one setting and both given; keep one$/,
    );
    expect(() => read([], { SYNOD_LISTEN: 'a:1', OTHER_LISTEN_URLS: 'a:1' })).toThrow(/are one setting and both set/);
  });

  it('is refused with the reason if it must not be passed over, and may be off', () => {
    expect(() => read(['--magic'])).toThrow(/^--magic: there is none$/);
    expect(() => read([], { OTHER_MAGIC: 'on' })).toThrow(/^OTHER_MAGIC "on": there is none$/);
    expect(read(['--magic=false']).values.magic).toBeUndefined();
  });

  it('takes the words of switches that other programs take', () => {
    for (const [word, value] of Object.entries({
      '1': true,
      T: true,
      TRUE: true,
      '0': false,
      f: false,
      False: false,
    })) {
      expect(read([`--secure=${word}`]).values.secure).toBe(value);
    }
    expect(read([]).values.secure).toBe(true);
    expect(() => read(['--secure=yes'])).toThrow(/^--secure "yes": true or false$/);
  });

  it('is not among the variables that nobody knows', () => {
    const env = { OTHER_LISTEN_URLS: 'a:1', OTHER_LISTEN: 'a:1', OTHER_EMPTY: '', ANOTHER: 'x' };
    expect(unknownVariables(aliased, env, 'OTHER_')).toEqual(['OTHER_LISTEN']);
  });

  it('is explained under all of them', () => {
    const text = /OTHER_<FLAG>[^]*--listen, --listen-urls +where it is served \(default 127\.0\.0\.1:1\)/;
    try {
      read(['--help']);
    } catch (error) {
      expect((error as InfoRequested).text).toMatch(text);
      return;
    }
    throw new Error('help was not given');
  });
});

describe('assertListenable', () => {
  it('refuses to listen off loopback without --insecure-listen, naming the flag', () => {
    expect(() => assertListenable({ '--listen': '127.0.0.1:1', '--peer-listen': '[::1]:2' }, false)).not.toThrow();
    expect(() => assertListenable({ '--listen': '0.0.0.0:1' }, false)).toThrow(/^--listen 0.0.0.0:1 is reachable/);
    expect(() => assertListenable({ '--listen': '0.0.0.0:1' }, true)).not.toThrow();
  });
});
