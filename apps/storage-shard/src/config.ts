import { credentialsSetting } from '@synod/coordination';
import {
  addressesSetting,
  addressSetting,
  assertListenable,
  commonSettings,
  consensusTlsFiles,
  consensusTlsSettings,
  loadConfig,
  type ConfigSources,
} from '@synod/service-kit';

const settings = {
  ...commonSettings('127.0.0.1:2500'),
  consensus: addressesSetting('members of the coordination service, host:port,…'),
  consensusCredentials: credentialsSetting(),
  ...consensusTlsSettings(),
  peerListen: addressSetting('where the other storage nodes are served').default('127.0.0.1:2600'),
  peerAdvertise: addressSetting('what the other storage nodes dial; --peer-listen if absent').optional(),
};

export type StorageConfig = ReturnType<typeof readConfig>;

/**
 * The storage node's settings, from flags, environment and file.
 * @throws {UsageError} naming the wrong one
 */
export function readConfig(sources: ConfigSources) {
  const config = loadConfig('storage-shard', 'serves the shards placed on it', settings, sources);
  const { listen, peerListen, httpListen, insecureListen } = config;
  assertListenable({ '--listen': listen, '--peer-listen': peerListen, '--http-listen': httpListen }, insecureListen);
  return {
    ...config,
    consensusTls: consensusTlsFiles(config),
    advertise: config.advertise ?? listen,
    peerAdvertise: config.peerAdvertise ?? peerListen,
  };
}
