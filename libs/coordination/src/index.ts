export type {
  Compare,
  Coordination,
  CoordinationEntry,
  CoordinationEvent,
  Operation,
  TransactionResult,
  WatchHandler,
} from './port';
