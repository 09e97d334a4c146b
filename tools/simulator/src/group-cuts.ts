import { Draws, type FaultPlan } from '@synod/simulation';

const SECOND_US = 1_000_000;

/**
 * Adds, in half of the seeds, members that their own service cannot reach while everybody else can: what turns a leader that does not
 * prove its leadership into a liar.
 * @param services the members of each
 */
export function withGroupCuts(plan: FaultPlan, services: readonly (readonly string[])[], horizonUs: number): FaultPlan {
  const draws = new Draws(plan.seed, 'plan', 'group cuts');
  if (draws.chance(1, 2)) return plan;
  const cuts = Array.from({ length: draws.between(2, 5) }, () => {
    const members = draws.pick(services);
    const victim = draws.pick(members);
    const directions = members
      .filter((name) => name !== victim)
      .flatMap((name) => [
        { from: name, to: victim },
        { from: victim, to: name },
      ]);
    const forUs = draws.between(2 * SECOND_US, 5 * SECOND_US);
    return { kind: 'cut', atUs: draws.below(horizonUs), form: 'partition', directions, forUs } as const;
  });
  return { ...plan, actions: [...plan.actions, ...cuts].sort((a, b) => a.atUs - b.atUs) };
}
