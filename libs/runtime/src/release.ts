import { version } from '../../../package.json';

/** Of all of Synod: its services and its command are released together. */
export const RELEASE = version;
