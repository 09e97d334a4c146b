export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  readonly killedBy: readonly string[];
  readonly seed: number;
}
export const MUTANTS: readonly Mutant[] = [];
