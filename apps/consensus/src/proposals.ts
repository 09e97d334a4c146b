import { invariant } from '@synod/invariant';
import { identityOf, type Caller } from './auth/caller';
import type { Gatekeeper } from './auth/gatekeeper';
import type { LeaderAccess } from './leader-access';
import type { SpaceWatch } from './space-watch';
import { addsData, isRaised } from './state/alarm';
import { MEMBER, NOBODY, type Authority } from './state/auth/authority';
import { encodeCommand } from './state/command-codec';
import { EtcdError } from './state/errors';
import { checkOperation, type RequestLimits } from './state/request-check';
import type { Alarm, Command, PutRequest } from './state/requests';
import type { ApplyResult, PutResult } from './state/results';

/** What proposals go by, of the member that makes them. */
export interface Proposer {
  readonly access: LeaderAccess;
  readonly gatekeeper: Gatekeeper;
  readonly limits: RequestLimits;
  readonly leads: () => boolean;
  readonly alarms: () => readonly Alarm[];
  /** Absent where nothing is measured. */
  readonly space: SpaceWatch | undefined;
}

/** How commands come into the log: in whose name, and whether there is room for what they add. */
export class Proposals {
  constructor(private readonly proposer: Proposer) {}

  /** @throws {EtcdError} */
  propose(command: Command, caller: Caller): Promise<ApplyResult> {
    const named = this.proposer.gatekeeper.enabled || caller === 'service';
    return named ? this.proposeNamed(command, caller) : this.proposeAs(NOBODY, command);
  }

  /**
   * Several puts that came together, each done or refused by itself, for what one costs and some bytes: this member must lead, and users
   * not be checked.
   * @returns what became of each, in order; `undefined` if nothing was done, so that each may be asked for by itself
   */
  async proposeAll(
    requests: readonly PutRequest[],
    caller: Caller,
  ): Promise<readonly (PutResult | EtcdError)[] | undefined> {
    const { leads, gatekeeper, access } = this.proposer;
    // What a member asks for itself has a way of its own once users are checked.
    if (!leads() || gatekeeper.enabled || caller === 'service') return undefined;
    const commands = requests.map((request) => this.encodeUnlessRefused(request, caller));
    const admitted = commands.filter((command) => Buffer.isBuffer(command));
    if (admitted.length === 0) return commands.filter((command) => command instanceof EtcdError);
    try {
      const results = await access.proposeAll(admitted);
      if (results === undefined) return undefined;
      const applied = results.values();
      return commands.map((command) => (Buffer.isBuffer(command) ? putResultOf(applied.next().value) : command));
    } catch (error) {
      // Of those that were proposed nobody knows; what was refused before remains refused.
      const unknown = etcdErrorOf(error);
      return commands.map((command) => (Buffer.isBuffer(command) ? unknown : command));
    }
  }

  /** What a member does of itself: it asks for nobody's leave. */
  encodeOwn(command: Command): Buffer {
    return encodeCommand(command, this.proposer.gatekeeper.enabled ? MEMBER : NOBODY);
  }

  /**
   * Refuses what adds data while there is no room for it, before it takes some of that in the log.
   * @throws {EtcdError} `no-space`
   */
  admit(bytes: number): void {
    const alarms = this.proposer.alarms();
    // With data that differ, that is what to say: the log does.
    if (isRaised(alarms, 'corrupt')) return;
    if (isRaised(alarms, 'no-space')) throw new EtcdError('no-space');
    this.proposer.space?.admit(bytes);
  }

  private async proposeNamed(command: Command, caller: Caller): Promise<ApplyResult> {
    const { gatekeeper } = this.proposer;
    const authority = gatekeeper.enabled ? await gatekeeper.authorityOf(caller) : NOBODY;
    const result = await this.proposeAs(authority, command);
    const unnamed = authority.kind === 'nobody' && result.kind === 'refused' && result.error === 'user-empty';
    // Users are checked since a moment ago, which this member did not know. Nothing was done, and it needs nobody's leave.
    return unnamed && caller === 'service' ? this.proposeAs(MEMBER, command) : result;
  }

  private async proposeAs(authority: Authority, command: Command): Promise<ApplyResult> {
    const encoded = this.encodeAdmitted(command, authority);
    const { result } = await this.proposer.access.ask({ kind: 'propose', command: encoded });
    return result;
  }

  private encodeUnlessRefused(request: PutRequest, caller: Caller): Buffer | EtcdError {
    try {
      checkOperation(request, identityOf(caller), this.proposer.limits);
      return this.encodeAdmitted(request, NOBODY);
    } catch (error) {
      return etcdErrorOf(error);
    }
  }

  /** @throws {EtcdError} if it is too large, or there is no room for it */
  private encodeAdmitted(command: Command, authority: Authority): Buffer {
    const encoded = encodeCommand(command, authority);
    if (encoded.length > this.proposer.limits.requestBytesMax) throw new EtcdError('request-too-large');
    if ((command.kind === 'put' || command.kind === 'txn') && addsData(command)) this.admit(encoded.length);
    return encoded;
  }
}

/** @throws what is none */
function etcdErrorOf(error: unknown): EtcdError {
  if (error instanceof EtcdError) return error;
  throw error;
}

function putResultOf(result: ApplyResult | undefined): PutResult | EtcdError {
  invariant(result?.kind === 'put' || result?.kind === 'refused', 'result-fits-its-command');
  return result.kind === 'put' ? result : new EtcdError(result.error);
}

/**
 * The result of a command of one kind.
 * @throws {EtcdError} what it was refused for
 */
export function resultOf<K extends ApplyResult['kind']>(
  kind: K,
  result: ApplyResult,
): Extract<ApplyResult, { readonly kind: K }> {
  if (result.kind === 'refused') throw new EtcdError(result.error);
  invariant(result.kind === kind, 'result-fits-its-command', () => `${result.kind} of a ${kind}`);
  return result as Extract<ApplyResult, { readonly kind: K }>;
}
