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
import { COORDINATOR_DEFAULTS } from './options';

const settings = {
  ...commonSettings('127.0.0.1:2700'),
  consensus: addressesSetting('members of the coordination service, host:port,…'),
  consensusCredentials: credentialsSetting(),
  ...consensusTlsSettings(),
  inflightMax: countSetting('requests being handled at once, before RESOURCE_EXHAUSTED', {
    min: 1,
    max: 1_000_000,
    default: COORDINATOR_DEFAULTS.inflightMax,
  }),
  sessionsMax: countSetting('transactions of thin clients open at once, before RESOURCE_EXHAUSTED', {
    min: 1,
    max: 100_000,
    default: COORDINATOR_DEFAULTS.sessionsMax,
  }),
};

export type CoordinatorConfig = ReturnType<typeof readConfig>;

/**
 * The coordinator's settings, from flags, environment and file.
 * @throws {UsageError} naming the wrong one
 */
export function readConfig(sources: ConfigSources) {
  const config = loadConfig('txn-coordinator', 'runs transactions over the sharded store', settings, sources);
  assertListenable({ '--listen': config.listen, '--http-listen': config.httpListen }, config.insecureListen);
  return { ...config, consensusTls: consensusTlsFiles(config), advertise: config.advertise ?? config.listen };
}
