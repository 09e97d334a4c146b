import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers';
import timersPromises from 'node:timers/promises';

/** Undoes what was done. */
export type Undo = () => void;

/** Told the name of what was used; throws. */
export type Trap = (name: string) => never;

const RealDate = Date;

/** A member of an object, to be replaced by a trap that names it. */
function trap(owner: object, member: string, name: string, caught: Trap): Undo {
  const before = Object.getOwnPropertyDescriptor(owner, member);
  if (before !== undefined && before.configurable !== true && before.writable !== true) return () => undefined;
  Object.defineProperty(owner, member, {
    configurable: before?.configurable ?? true,
    enumerable: before?.enumerable ?? false,
    writable: true,
    value: () => caught(name),
  });
  return () => {
    if (before === undefined) Reflect.deleteProperty(owner, member);
    else Object.defineProperty(owner, member, before);
  };
}

/** A `Date` that still converts and formats, and no longer tells the time. */
function timelessDate(caught: Trap): DateConstructor {
  return new Proxy(RealDate, {
    construct: (target, parts: unknown[], newTarget) =>
      parts.length === 0 ? caught('new Date()') : (Reflect.construct(target, parts, newTarget) as object),
    apply: () => caught('Date()'),
    get: (target, member) => (member === 'now' ? () => caught('Date.now') : (Reflect.get(target, member) as unknown)),
  });
}

const TIMERS = ['setTimeout', 'setInterval', 'setImmediate'];
const CHANCE = ['randomBytes', 'randomInt', 'randomUUID', 'randomFill', 'randomFillSync', 'getRandomValues'];

/**
 * Replaces every source of real time, real timers and real chance by a trap until it is undone: one use of them inside a simulation
 * and its seed no longer replays. Replacing a global does not touch the module that it came from, so both are replaced.
 */
export function poison(caught: Trap): Undo {
  const undo: Undo[] = [];
  const set = (owner: unknown, path: string, members: readonly string[]): void => {
    if (typeof owner !== 'object' || owner === null) return;
    for (const member of members) if (member in owner) undo.push(trap(owner, member, `${path}.${member}`, caught));
  };
  const realm = globalThis as { Date: DateConstructor };
  realm.Date = timelessDate(caught);
  undo.push(() => {
    realm.Date = RealDate;
  });
  set(Math, 'Math', ['random']);
  set(globalThis, 'globalThis', TIMERS);
  set(globalThis.performance, 'performance', ['now']);
  set(globalThis.crypto, 'crypto', ['getRandomValues', 'randomUUID']);
  set(process, 'process', ['hrtime', 'uptime']);
  set(timers, 'node:timers', TIMERS);
  set(timersPromises, 'node:timers/promises', TIMERS);
  set(crypto, 'node:crypto', CHANCE);
  syncBuiltinESMExports();
  return () => {
    for (const one of undo.reverse()) one();
    syncBuiltinESMExports();
  };
}
