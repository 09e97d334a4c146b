import { InvariantViolation } from '@synod/invariant';
import type { Instance } from './ballot';
import type { Effects, Input } from './effects';
import { stampOf } from './fence';
import type { ReplicaOptions } from './options';
import type { Configuration } from './configuration';
import { LeaderLease } from './leader-lease';
import { LeaseGrants } from './lease-grants';
import { Members } from './members';
import { Membership } from './membership';
import type { Value } from './messages';
import { RARE_STATES } from './rare-states';
import type { ReplicaRecord } from './records';
import { Replica } from './replica';
import { SimCluster } from './testing/sim-cluster';

const STEPS = 2_000;
const ROUNDS_MAX = 600;

function replicasOf(seed: number): number {
  return seed % 2 === 0 ? 3 : 5;
}

describe('a group in a world of chance', () => {
  const reached = new Map<string, number>();
  const seeds = Array.from({ length: 200 }, (_, index) => index + 1);

  it.each(seeds)('is safe at every step, and serves again after healing (seed %i)', (seed) => {
    const sim = new SimCluster({ seed, replicas: replicasOf(seed) }).run(STEPS);
    sim.heal(ROUNDS_MAX);
    sim.safety.finish();
    for (const [name, hits] of sim.safety.reached) reached.set(name, (reached.get(name) ?? 0) + hits);
    reached.set('acknowledged', (reached.get('acknowledged') ?? 0) + sim.safety.acked);
    reached.set('transferred', (reached.get('transferred') ?? 0) + sim.safety.transferred);
    reached.set('reads served', (reached.get('reads served') ?? 0) + sim.safety.readsServed);
    reached.set('reads leased', (reached.get('reads leased') ?? 0) + sim.safety.readsLeased);
  });

  it('has met every rare state, and done work', () => {
    expect(RARE_STATES.filter((name) => !reached.has(name))).toEqual([]);
    expect(reached.get('acknowledged')).toBeGreaterThan(5_000);
    expect(reached.get('reads served')).toBeGreaterThan(4_000);
    expect(reached.get('reads leased')).toBeGreaterThan(500);
    expect(reached.get('transferred')).toBeGreaterThan(100);
  });

  it('replays a seed exactly', () => {
    const digest = (): string => new SimCluster({ seed: 7, replicas: 5 }).run(STEPS).digest.join('\n');
    expect(digest()).toBe(digest());
  });
});

/** Forgets its promises, but not its votes, when it restarts. */
class Forgetful extends Replica {
  override restore(record: ReplicaRecord): void {
    if (record.kind !== 'promised') super.restore(record);
  }
}

/** Lets votes and promises leave before they are on disk. */
class Hasty extends Replica {
  override step(input: Input): Effects {
    const effects = super.step(input);
    return { ...effects, sendNow: [...effects.sendNow, ...effects.send], send: [] };
  }
}

/** Serves reads on the belief that it leads. */
class Believer extends Replica {
  override step(input: Input): Effects {
    if (input.kind !== 'read' || !this.leads) return super.step(input);
    const settled = { token: input.token, outcome: 'read-ready', instance: this.chosenThrough } as const;
    return { sendNow: [], persist: [], send: [], chosen: [], settled: [settled], needsSnapshot: [], reached: [] };
  }
}

/** As a leader, ignores the votes that phase 1 finds. */
class Egoist extends Replica {
  override step(input: Input): Effects {
    if (input.kind !== 'receive' || input.message.kind !== 'promise') return super.step(input);
    return super.step({ ...input, message: { ...input.message, votes: [] } });
  }
}

/** Cuts its log at what its store has applied, flushed or not. */
class CutsTooMuch extends Replica {
  override hardState(): ReplicaRecord[] {
    return super.hardState(this.chosenThrough);
  }
}

/** Says its promise again when its log is cut, and not its votes. */
class DropsVotes extends Replica {
  override recordsAbove(): ReplicaRecord[] {
    return [];
  }
}

/** Does not tell with a promise what it leaves out because it has forgotten it. */
class AnswersEmpty extends Replica {
  override step(input: Input): Effects {
    const effects = super.step(input);
    const send = effects.send.map(({ to, message }) =>
      message.kind === 'promise' ? { to, message: { ...message, chosenThrough: 0 } } : { to, message },
    );
    return { ...effects, send };
  }
}

/** Delivers the commands of deposed leaders too. */
class Unfenced extends Replica {
  override step(input: Input): Effects {
    const effects = super.step(input);
    const chosen = effects.chosen.map((delivery) =>
      stampOf(delivery.value) === undefined ? delivery : { ...delivery, commands: delivery.value.slice(1) },
    );
    return { ...effects, chosen };
  }
}

/** Forgets at a restart how far the ballots of its log had come. */
class ForgetsItsTerm extends Replica {
  override restored(appliedThrough: Instance, snapshotThrough: Instance): void {
    super.restored(appliedThrough, snapshotThrough);
  }
}

/** Long enough for elections to begin while a lease holds. */
const LEASED = { holdUs: 40_000 };
const LEASES_BROKEN = ['lease-outlives-no-leader', 'reads-see-what-was-acked'];

describe('the simulation finds planted bugs', () => {
  afterEach(() => jest.restoreAllMocks());

  /** @returns the invariants that the first failing seed broke */
  function hunt(
    makeReplica: (options: ReplicaOptions) => Replica,
    leased: { readonly holdUs?: number } = {},
  ): string | undefined {
    for (let seed = 1; seed <= 100; seed++) {
      try {
        new SimCluster({ seed, replicas: replicasOf(seed), makeReplica, ...leased }).run(STEPS);
      } catch (error) {
        if (error instanceof InvariantViolation) return error.invariant;
        throw error;
      }
    }
    return undefined;
  }

  it('a promise forgotten at restart', () => {
    expect(hunt((options) => new Forgetful(options))).toBe('promise-never-decreases');
  });

  it('a vote sent before it is on disk', () => {
    expect([
      'delivered-is-chosen',
      'one-command-per-instance',
      'promise-never-decreases',
      'applied-is-logged',
    ]).toContain(hunt((options) => new Hasty(options)));
  });

  it('a read served without confirmation', () => {
    expect(hunt((options) => new Believer(options))).toBe('reads-see-what-was-acked');
  });

  it('a value of a deposed leader that takes effect', () => {
    expect(hunt((options) => new Unfenced(options))).toBe('deposed-values-change-nothing');
  });

  it('a term that a restart forgets', () => {
    expect(['one-command-per-instance', 'deposed-values-change-nothing']).toContain(
      hunt((options) => new ForgetsItsTerm(options)),
    );
  });

  it('a configuration applied one instance late', () => {
    const delivered = Membership.prototype.delivered;
    const before = new WeakMap<Membership, Value>();
    jest.spyOn(Membership.prototype, 'delivered').mockImplementation(function (this: Membership, instance, value) {
      delivered.call(this, instance, before.get(this) ?? []);
      before.set(this, value);
    });
    expect(['delivered-is-chosen', 'one-command-per-instance', 'one-change-at-a-time']).toContain(
      hunt((options) => new Replica(options)),
    );
  });

  it('a learner that counts', () => {
    jest
      .spyOn(Membership.prototype as unknown as { membersOf(of: Configuration): Members }, 'membersOf')
      .mockImplementation(function (this: { self: number }, { members }) {
        return new Members(
          this.self,
          members.map(({ replicaId }) => replicaId),
        );
      });
    expect(['delivered-is-chosen', 'one-command-per-instance']).toContain(hunt((options) => new Replica(options)));
  });

  it('a lease that is not checked after a pause', () => {
    jest.spyOn(LeaderLease.prototype, 'endUs').mockImplementation(function (this: LeaderLease, nowUs) {
      const { held } = this as unknown as { held?: { untilUs: number } };
      return held && Math.max(held.untilUs, nowUs + 1);
    });
    expect(LEASES_BROKEN).toContain(hunt((options) => new Replica(options), LEASED));
  });

  it('a promise to another while a lease is granted', () => {
    jest.spyOn(LeaseGrants.prototype, 'forbid').mockReturnValue(false);
    expect(hunt((options) => new Replica(options), LEASED)).toBe('no-promise-under-a-granted-lease');
  });

  it('a lease forgotten at restart', () => {
    jest.spyOn(LeaseGrants.prototype, 'restore').mockReturnValue();
    expect(hunt((options) => new Replica(options), LEASED)).toBe('no-promise-under-a-granted-lease');
  });

  it('a value proposed over a vote found in phase 1', () => {
    expect(['one-command-per-instance', 'delivered-is-chosen']).toContain(hunt((options) => new Egoist(options)));
  });

  it('a log cut beyond what the store has flushed', () => {
    expect(hunt((options) => new CutsTooMuch(options))).toBe('truncated-is-applied');
  });

  it('unchosen votes cut off with the log', () => {
    expect(['one-command-per-instance', 'delivered-is-chosen', 'applied-is-logged']).toContain(
      hunt((options) => new DropsVotes(options)),
    );
  });

  it('a promise that passes what was forgotten for never voted on', () => {
    expect(['one-command-per-instance', 'delivered-is-chosen']).toContain(hunt((options) => new AnswersEmpty(options)));
  });
});
