// Settings: flags, environment, file.
export { InfoRequested, loadConfig, readSettings, type ConfigSources, type ReadSettings } from './config';
export { unknownVariables, type Alias, type AliasedSetting, type Settings } from './setting-names';
export {
  addressesSetting,
  addressSetting,
  assertListenable,
  commonSettings,
  consensusTlsFiles,
  consensusTlsSettings,
  countSetting,
  dataDirSetting,
  endpointsSetting,
  fileSetting,
  insecureListenSetting,
  LOG_LEVELS,
  NODE_ID,
  nodeIdSetting,
  refusedSetting,
  switchSetting,
} from './settings';
export { UsageError } from './usage-error';
// What a running service has.
export { openTls } from './open-tls';
export { DataFolder, type Version } from './data-folder';
export { Metrics } from './metrics';
export { ServiceLog } from './service-log';
export { StatusServer, type Page } from './status-server';
export { runService, StartAnew, type Running } from './run-service';
