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
  type ConfigSources,
} from '@synod/service-kit';

const SETTINGS = {
  ...commonSettings('127.0.0.1:2800'),
  consensus: addressesSetting(
    'members of the coordination service; without it, file jobs for workers that name this master',
  ).optional(),
  consensusCredentials: credentialsSetting(),
  ...consensusTlsSettings(),
  sessionTimeoutMs: countSetting('a worker that is not heard for so long is given up', {
    min: 1_000,
    max: 600_000,
    // Well above a pause of a busy machine: a dead worker is noticed at once by its broken connection.
    default: 5_000,
  }),
};

/** HTTP is this many ports above the clients' port, unless it is told a place of its own. */
const HTTP_PORT_OFFSET = 1_000;

export type Config = ReturnType<typeof readConfig>;

/** @throws {UsageError} naming the setting that is wrong */
export function readConfig(sources: ConfigSources) {
  const config = loadConfig('mapreduce-master', 'schedules MapReduce jobs', SETTINGS, sources);
  assertListenable({ '--listen': config.listen, '--http-listen': config.httpListen }, config.insecureListen);
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
