export { eventually, succeeds } from './eventually';
