import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { HelpRequested, loadConfig } from './config';
import { addressesSetting, assertListenable, commonSettings, countSetting } from './settings';
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

  it('explains every setting on --help', () => {
    expect(() => load(['--help'])).toThrow(HelpRequested);
    try {
      load(['--help']);
    } catch (error) {
      expect((error as HelpRequested).text).toMatch(
        /--node-id\s+name of this node, the same at every start \(required\)/,
      );
      expect((error as HelpRequested).text).toMatch(/--slots\s+tasks at once \(default 2\)/);
      expect((error as HelpRequested).text).toMatch(/--listen\s+where clients are served \(default 127.0.0.1:2500\)/);
      expect((error as HelpRequested).text).toMatch(/--advertise\s+what others dial to reach it/);
    }
  });
});

describe('assertListenable', () => {
  it('refuses to listen off loopback without --insecure-listen, naming the flag', () => {
    expect(() => assertListenable({ '--listen': '127.0.0.1:1', '--peer-listen': '[::1]:2' }, false)).not.toThrow();
    expect(() => assertListenable({ '--listen': '0.0.0.0:1' }, false)).toThrow(/^--listen 0.0.0.0:1 is reachable/);
    expect(() => assertListenable({ '--listen': '0.0.0.0:1' }, true)).not.toThrow();
  });
});
