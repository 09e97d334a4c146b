import type { ClockError } from './sim-clock';
import type { Direction } from './network';
import type { WorldShape } from './shape';
import type { CrashKind } from './sim-node';

/** Who is hit: a node by name, or whoever leads when the moment comes. */
export type Target = string;

/** The target that stands for the leader of the moment. */
export const LEADER: Target = '@leader';

/** One thing that the nemesis does, as data: a test can be started from a text file, and shrunk by leaving lines out. */
export type NemesisAction =
  | {
      readonly kind: 'crash';
      readonly atUs: number;
      readonly node: Target;
      readonly how: CrashKind;
      readonly downUs: number;
    }
  /** All at once: a power failure of the building, or a bad deployment. `downUs` by node. */
  | {
      readonly kind: 'crash-all';
      readonly atUs: number;
      readonly how: CrashKind;
      readonly downUs: Readonly<Record<string, number>>;
    }
  | { readonly kind: 'pause'; readonly atUs: number; readonly node: Target; readonly forUs: number }
  /** Nothing passes in these directions. */
  | {
      readonly kind: 'cut';
      readonly atUs: number;
      readonly form: CutForm;
      readonly directions: readonly Direction[];
      readonly forUs: number;
    }
  /** A node that nobody hears, that hears nobody, or both. */
  | {
      readonly kind: 'isolate';
      readonly atUs: number;
      readonly node: Target;
      readonly way: 'in' | 'out' | 'both';
      readonly forUs: number;
    }
  /** Everything in these directions waits. */
  | { readonly kind: 'clog'; readonly atUs: number; readonly directions: readonly Direction[]; readonly forUs: number }
  /** Clogs of many nodes that begin one by one and end in another order (FoundationDB's swizzle). */
  | { readonly kind: 'swizzle-clog'; readonly atUs: number; readonly clogs: readonly NodeClog[] }
  | { readonly kind: 'reset'; readonly atUs: number; readonly a: string; readonly b: string }
  | {
      readonly kind: 'slow-disk';
      readonly atUs: number;
      readonly nodes: readonly string[];
      readonly syncMeanUs: number;
      readonly forUs: number;
    }
  | { readonly kind: 'clock-step'; readonly atUs: number; readonly node: string; readonly byMs: number };

export type CutForm = 'partition' | 'one-way' | 'ring' | 'bridge';

export interface NodeClog {
  readonly node: string;
  readonly afterUs: number;
  readonly forUs: number;
}

/** What a seed may contain; each kind is switched on or off for the whole of it. */
export const FAULT_KINDS = [
  'crash',
  'power-cut',
  'crash-all',
  'pause',
  'partition',
  'one-way',
  'ring',
  'bridge',
  'isolate',
  'clog',
  'swizzle-clog',
  'reset',
  'slow-disk',
  'clock-step',
  'clock-offset',
  'clock-drift',
  'wide-area',
  'datagrams',
  'small-queues',
  'late-timers',
] as const;

export type FaultKind = (typeof FAULT_KINDS)[number];

/** Everything that goes wrong in one seed. */
export interface FaultPlan {
  readonly seed: number;
  /** The kinds switched on; none in a quiet seed, which must be fast and undisturbed. */
  readonly kinds: readonly FaultKind[];
  readonly shape: WorldShape;
  readonly clocks: readonly { readonly node: string; readonly error: ClockError }[];
  /** In the order of their times. */
  readonly actions: readonly NemesisAction[];
}
