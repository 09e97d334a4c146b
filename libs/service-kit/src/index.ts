// Settings: flags, environment, file.
export { HelpRequested, loadConfig, type ConfigSources, type Settings } from './config';
export {
  addressesSetting,
  addressSetting,
  assertListenable,
  commonSettings,
  countSetting,
  switchSetting,
} from './settings';
export { UsageError } from './usage-error';
// What a running service has.
export { DataFolder, type Version } from './data-folder';
export { Metrics } from './metrics';
export { ServiceLog } from './service-log';
export { StatusServer } from './status-server';
export { runService, type Running } from './run-service';
