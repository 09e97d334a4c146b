import { UsageError } from '@synod/service-kit';
import { readConfig } from './config';

const read = (argv: readonly string[], env: Record<string, string> = {}) => readConfig({ argv, env });

function refusal(argv: readonly string[], env: Record<string, string> = {}): string {
  try {
    read(argv, env);
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  return 'taken';
}

/** The flags of etcd's clustering guide. */
const GUIDE = [
  ...['--name', 'infra_1', '--initial-advertise-peer-urls', 'http://10.0.1.11:2380'],
  ...['--listen-peer-urls', 'http://10.0.1.11:2380'],
  ...['--listen-client-urls', 'http://10.0.1.11:2379,http://127.0.0.1:2379'],
  ...['--advertise-client-urls', 'http://10.0.1.11:2379', '--initial-cluster-token', 'etcd-cluster-1'],
  '--initial-cluster',
  'infra0=http://10.0.1.10:2380,infra_1=http://10.0.1.11:2380,infra2=http://10.0.1.12:2380',
  ...['--initial-cluster-state', 'new'],
];
const CERTS = ['--cert-file', 'c.pem', '--key-file', 'c.key'];
const PEER_CERTS = ['--peer-cert-file', 'p.pem', '--peer-key-file', 'p.key'];

describe('without settings', () => {
  it('a member founds a cluster of its own on loopback, with the defaults of etcd', () => {
    expect(read([])).toMatchObject({
      nodeId: 'default',
      dataDir: 'default.etcd',
      clients: { listeners: [{ address: '127.0.0.1:2379', tls: false }], tls: undefined },
      peers: { listeners: [{ address: '127.0.0.1:2380', tls: false }], tls: undefined },
      http: [{ address: '127.0.0.1:3379', tls: false }],
      founders: [{ nodeId: 'default', address: '127.0.0.1:2380' }],
      times: { heartbeatUs: 100_000, electionTimeoutUs: 1_000_000 },
      limits: { requestBytesMax: 1_572_864, txnOperationsMax: 128 },
      warnings: [],
    });
  });
});

describe("etcd's own flags", () => {
  it('are taken as its clustering guide gives them, with one warning for each address that others reach', () => {
    const config = read(GUIDE);
    expect(config).toMatchObject({
      nodeId: 'infra_1',
      dataDir: 'infra_1.etcd',
      clients: {
        listeners: [
          { address: '10.0.1.11:2379', tls: false },
          { address: '127.0.0.1:2379', tls: false },
        ],
        advertised: [{ scheme: 'http', address: '10.0.1.11:2379' }],
      },
      peers: { advertised: [{ scheme: 'http', address: '10.0.1.11:2380' }] },
      http: [{ address: '127.0.0.1:3379', tls: false }],
      initialClusterToken: 'etcd-cluster-1',
    });
    expect(config.founders.map(({ address }) => address)).toEqual([
      '10.0.1.10:2380',
      '10.0.1.11:2380',
      '10.0.1.12:2380',
    ]);
    expect(config.warnings).toEqual([
      '--listen-client-urls http://10.0.1.11:2379 is reachable from other machines and has no TLS',
      '--listen-peer-urls http://10.0.1.11:2380 is reachable from other machines and has no TLS',
    ]);
  });

  it.each([
    [2, 0],
    [4, 1],
  ])('name an even number of members, %i, with a warning that it is not worth it', (count, spare) => {
    const founders = ['default', 'b', 'c', 'd']
      .slice(0, count)
      .map((name, index) => `${name}=http://127.0.0.1:${2380 + index}`);
    const config = read(['--initial-cluster', founders.join()]);
    expect(config.founders).toHaveLength(count);
    expect(config.warnings).toEqual([
      `--initial-cluster: of ${count} members ${spare} may fail, no more than of ${count - 1}, and every change waits for one more of them`,
    ]);
  });

  it('are the same settings as our own names and the ETCD_ variables', () => {
    const own = [
      '--node-id',
      'n1',
      '--listen',
      '127.0.0.1:1',
      '--peer-listen',
      '127.0.0.1:2',
      '--http-listen',
      '[::1]:3',
    ];
    const ours = read(own);
    expect(
      read(['--listen-client-urls=127.0.0.1:1', '--listen-peer-urls', '127.0.0.1:2', '--listen-metrics-urls=[::1]:3'], {
        ETCD_NAME: 'n1',
      }),
    ).toEqual(ours);
    const env = { ETCD_NAME: 'n1', ETCD_LISTEN_CLIENT_URLS: '127.0.0.1:1', SYNOD_PEER_LISTEN: '127.0.0.1:2' };
    expect(read(['--listen-metrics-urls', '[::1]:3'], env)).toEqual(ours);
    expect(refusal(['--name', 'a', '--node-id', 'a'])).toBe(
      '--name and --node-id are one setting and both given; keep one',
    );
    expect(refusal([], { ETCD_NAME: 'a', SYNOD_NODE_ID: 'a' })).toBe(
      'SYNOD_NODE_ID and ETCD_NAME are one setting and both set; keep one',
    );
  });

  it('act on times, limits and levels', () => {
    const flags = [
      '--heartbeat-interval=20',
      '--election-timeout',
      '200',
      '--max-request-bytes',
      '4096',
      '--max-txn-ops=7',
    ];
    expect(read([...flags, '--log-level=panic'])).toMatchObject({
      times: { heartbeatUs: 20_000, electionTimeoutUs: 200_000, tickUs: 10_000 },
      limits: { requestBytesMax: 4_096, txnOperationsMax: 7 },
      logLevel: 'error',
    });
  });

  it('bound the log', () => {
    expect(read(['--snapshot-count', '5000', '--log-segment-bytes=65536']).logLimits).toMatchObject({
      tailInstances: 5_000,
      segmentBytes: 65_536,
    });
  });

  it('say whether reads rest on leases, and by how much clocks may drift', () => {
    expect(read([])).toMatchObject({ leases: undefined, warnings: [] });
    expect(read(['--lease-reads']).leases).toEqual({ maxClockDriftPpm: 100_000 });
    expect(read(['--lease-reads', '--max-clock-drift-ppm=500']).leases).toEqual({ maxClockDriftPpm: 500 });
    expect(() => read(['--max-clock-drift-ppm=1000000'])).toThrow('--max-clock-drift-ppm');
  });

  it('say how changes of members are checked', () => {
    expect(read([]).strictReconfigCheck).toBe(true);
    expect(read(['--strict-reconfig-check=false'])).toMatchObject({ strictReconfigCheck: false, warnings: [] });
  });

  it('say how much history and data are kept', () => {
    expect(read([])).toMatchObject({ retention: undefined, quotaBytes: 2 * 2 ** 30, warnings: [] });
    expect(read(['--auto-compaction-retention', '1h30m']).retention).toEqual({
      mode: 'periodic',
      periodUs: 5_400_000_000,
    });
    expect(read(['--auto-compaction-retention', '3']).retention).toEqual({
      mode: 'periodic',
      periodUs: 10_800_000_000,
    });
    expect(read(['--auto-compaction-mode=revision', '--auto-compaction-retention', '1000']).retention).toEqual({
      mode: 'revision',
      revisions: 1_000,
    });
    expect(read(['--auto-compaction-retention', '0']).retention).toBeUndefined();
    expect(read(['--quota-backend-bytes', '-1']).quotaBytes).toBe(Infinity);
    expect(read(['--quota-backend-bytes=8589934592']).quotaBytes).toBe(8_589_934_592);
  });

  it('name a variable that is none, and refuse one that must not be passed over', () => {
    expect(read([], { ETCD_PORT: 'tcp://10.0.0.1:2379' }).warnings).toEqual([
      'ETCD_PORT is not a setting of consensus; ignored',
    ]);
    expect(refusal([], { ETCD_CLIENT_CRL_FILE: 'x' })).toMatch(/^ETCD_CLIENT_CRL_FILE "x": revocation lists/);
    expect(read([], { ETCD_AUTO_TLS: 'false', ETCD_CERT_FILE: '' }).warnings).toEqual([]);
  });
});

describe('TLS', () => {
  it('is what an address alone gets when there is a certificate, and what https asks for', () => {
    const config = read([...CERTS, '--trusted-ca-file=ca.pem', '--client-cert-auth', ...PEER_CERTS]);
    expect(config.clients).toEqual({
      listeners: [{ address: '127.0.0.1:2379', tls: true }],
      advertised: [{ scheme: 'https', address: '127.0.0.1:2379' }],
      tls: {
        identity: { cert: { path: 'c.pem', name: '--cert-file' }, key: { path: 'c.key', name: '--key-file' } },
        ca: { path: 'ca.pem', name: '--trusted-ca-file' },
      },
    });
    expect(config.peers.advertised).toEqual([{ scheme: 'https', address: '127.0.0.1:2380' }]);
    const abroad = ['--listen-client-urls=https://0.0.0.0:2379', '--advertise-client-urls=https://db1:2379'];
    expect(read([...CERTS, ...abroad]).warnings).toEqual([]);
  });

  it('is not used where http is asked for, and that is said', () => {
    expect(read([...CERTS, '--listen-client-urls', 'http://127.0.0.1:1']).warnings).toEqual([
      '--listen-client-urls http://127.0.0.1:1 is served without TLS: --cert-file is not used',
    ]);
  });

  it.each([
    [['--listen', 'https://127.0.0.1:1'], '--listen https://127.0.0.1:1: https needs --cert-file and its key'],
    [['--listen-metrics-urls=https://[::1]:1'], '--listen-metrics-urls https://[::1]:1: https needs --cert-file'],
    [['--cert-file', 'c'], '--cert-file c: a certificate and its key are given together'],
    [['--peer-key-file', 'k'], '--peer-key-file k: a certificate and its key are given together'],
    [['--trusted-ca-file', 'a'], '--trusted-ca-file a is of no use without a certificate and its key'],
    [[...CERTS, '--client-cert-auth'], '--client-cert-auth: certificates are checked against an authority'],
    [
      [...PEER_CERTS, '--initial-cluster', 'default=http://127.0.0.1:2380'],
      '--initial-cluster has this node at http://127.0.0.1:2380, but --peer-listen serves no http',
    ],
    [
      ['--initial-advertise-peer-urls=https://a:1', '--initial-cluster', 'default=http://a:1'],
      '--initial-advertise-peer-urls https://a:1: members dial this node with http',
    ],
    [
      ['--initial-cluster', 'default=http://a:1,b=https://b:1,c=http://c:1'],
      /^--initial-cluster ".*": members that speak TLS and members that do not cannot be mixed$/,
    ],
  ])('refuses %j', (argv, message) => {
    expect(refusal(argv)).toMatch(message);
  });
});

describe('a malformed value is refused under the name that it was given by', () => {
  it.each([
    [['--name', 'a b'], '--name "a b": must be 1 to 63 letters, digits, dots, hyphens or underscores'],
    [['--listen-client-urls', 'here'], '--listen-client-urls "here": "here" is not an address'],
    [['--listen-client-urls'], '--listen-client-urls: host:port or http(s)://host:port are wanted'],
    [['--listen-peer-urls', 'unix://a:1'], '--listen-peer-urls "unix://a:1": "unix://a:1" is not served'],
    [['--listen', '0.0.0.0:1'], '--listen 0.0.0.0:1 is reachable from other machines and has no TLS'],
    [['--listen-client-urls', 'http://0.0.0.0:1'], '--listen-client-urls http://0.0.0.0:1 can be listened on but not'],
    [
      ['--initial-advertise-peer-urls', 'http://a:1,http://b:1'],
      '--initial-advertise-peer-urls: a member has one peer',
    ],
    [['--initial-cluster', 'a=http://a:1'], '--initial-cluster does not name this node, default'],
    [['--initial-cluster', 'default=http://a:1,default=http://b:1'], '--initial-cluster "default='],
    [['--initial-cluster-state', 'old'], '--initial-cluster-state "old": new or existing'],
    [['--initial-cluster-token', ''], '--initial-cluster-token "": a word of 1 to 128 characters is wanted'],
    [['--heartbeat-interval', '1s'], '--heartbeat-interval "1s": a whole number from 10 to 10000 is wanted'],
    [['--election-timeout', '60000'], '--election-timeout "60000": a whole number from 50 to 50000 is wanted'],
    [['--election-timeout', '400'], '--election-timeout: an election time-out of 400 ms is less than 5 heartbeat'],
    [['--max-request-bytes', '99999999'], '--max-request-bytes "99999999": a whole number from 1024 to 4194304'],
    [['--max-txn-ops', '-1'], '--max-txn-ops "-1": a whole number from 1 to 65536 is wanted'],
    [['--snapshot-count', 'x'], '--snapshot-count "x": a whole number from 1'],
    [['--quota-backend-bytes', '2G'], '--quota-backend-bytes "2G": a whole number from -1'],
    [['--auto-compaction-mode', 'never'], '--auto-compaction-mode "never": periodic or revision'],
    [['--auto-compaction-retention', '5x'], '--auto-compaction-retention "5x": a number, or a duration such as 1h30m'],
    [
      ['--auto-compaction-mode=revision', '--auto-compaction-retention=5m'],
      '--auto-compaction-retention "5m": a number of revisions is wanted',
    ],
    [['--auth-token', 'oauth'], '--auth-token "oauth": simple, or jwt,'],
    [['--client-cert-auth=maybe'], '--client-cert-auth "maybe": true or false'],
    [['--strict-reconfig-check', 'maybe'], '--strict-reconfig-check "maybe": true or false'],
    [['--log-level', 'loud'], '--log-level "loud": one of debug, info, warn, error'],
    [['--shards', '3'], '--shards 3: a power of two is wanted'],
    [['--proxy', 'on'], 'unknown argument --proxy; see --help'],
  ])('%j', (argv, message) => {
    expect(refusal(argv)).toContain(message);
  });
});
