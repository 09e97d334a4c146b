import { availableParallelism } from 'node:os';
import { formatAddress, parseAddress } from '@synod/rpc';
import { credentialsSetting } from '@synod/coordination';
import {
  addressesSetting,
  assertListenable,
  commonSettings,
  consensusTlsFiles,
  consensusTlsSettings,
  countSetting,
  loadConfig,
  UsageError,
  type ConfigSources,
} from '@synod/service-kit';

const SETTINGS = {
  ...commonSettings('127.0.0.1:2900'),
  consensus: addressesSetting('members of the coordination service').optional(),
  consensusCredentials: credentialsSetting(),
  ...consensusTlsSettings(),
  masters: addressesSetting('masters to work for; those that are registered with the cluster if absent').optional(),
  slots: countSetting('tasks at once, each in a process of its own', {
    min: 1,
    max: 256,
    default: Math.min(2, availableParallelism()),
  }),
  executorHeapMb: countSetting('JavaScript heap of an executor', { min: 64, max: 65_536, default: 512 }),
  noProgressMs: countSetting('an attempt that shows no progress for so long is killed', {
    min: 1_000,
    max: 86_400_000,
    default: 60_000,
  }),
};

/** HTTP is this many ports above the clients' port, unless it is told a place of its own. */
const HTTP_PORT_OFFSET = 1_000;

export type Config = ReturnType<typeof readConfig>;

/** @throws {UsageError} naming the setting that is wrong */
export function readConfig(sources: ConfigSources) {
  const config = loadConfig(
    'mapreduce-worker',
    'runs map and reduce tasks and serves their outputs',
    SETTINGS,
    sources,
  );
  assertListenable({ '--listen': config.listen, '--http-listen': config.httpListen }, config.insecureListen);
  if (config.consensus === undefined && config.masters === undefined) {
    throw new UsageError('--consensus is missing (or SYNOD_CONSENSUS); see --help');
  }
  return {
    ...config,
    consensusTls: consensusTlsFiles(config),
    httpListen: config.httpListen ?? httpBeside(config.listen),
  };
}

function httpBeside(listen: string): string {
  const { host, port } = parseAddress(listen);
  return formatAddress({ host, port: port === 0 ? 0 : port + HTTP_PORT_OFFSET });
}
