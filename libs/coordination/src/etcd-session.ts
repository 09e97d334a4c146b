import { serviceDefinition } from '@synod/contracts';
import { statusOf, type GrpcChannels } from '@synod/rpc';

/** A user of the coordination store, where users are checked. */
export interface EtcdCredentials {
  readonly user: string;
  readonly password: string;
}

const AUTH = serviceDefinition('etcdserverpb.Auth');
const NOT_CHECKED = 'etcdserver: authentication is not enabled';
/** Refusals that a new token may cure. Whoever gets one can be sure that nothing was done. */
const NEEDS_TOKEN = [
  'etcdserver: invalid auth token',
  'etcdserver: revision of auth store is old',
  'etcdserver: user name is empty',
];

/**
 * Who this client is to the members of the store. It shows a token only once it was asked who it is: so it works before users are
 * checked, while they are, and when they no longer are.
 */
export class EtcdSession {
  private token: string | undefined;

  constructor(
    private readonly channels: GrpcChannels,
    private readonly fixed: Readonly<Record<string, string>>,
    private readonly credentials: EtcdCredentials | undefined,
  ) {}

  /** What every call carries. */
  get metadata(): Readonly<Record<string, string>> {
    return this.token === undefined ? this.fixed : { ...this.fixed, token: this.token };
  }

  /** Whether a call failed for want of a token, and one can be had. */
  mayRenewAfter(error: unknown): boolean {
    return this.mayRenewOver(statusOf(error)?.details ?? '');
  }

  /** The same of the reason for which a watch was ended. */
  mayRenewOver(reason: string): boolean {
    return this.credentials !== undefined && NEEDS_TOKEN.some((text) => reason.endsWith(text));
  }

  /**
   * Gets a token from a member.
   * @throws {SynodError} as calls do; `invalid-argument` if the user or the password is wrong
   */
  async renew(address: string, deadlineMs: number): Promise<void> {
    if (this.credentials === undefined) return;
    const { user: name, password } = this.credentials;
    try {
      const options = { deadlineMs, idempotent: true, metadata: this.fixed };
      this.token = (await this.channels.callUnary(address, AUTH.Authenticate, { name, password }, options)).token;
    } catch (error) {
      if (statusOf(error)?.details !== NOT_CHECKED) throw error;
      this.token = undefined;
    }
  }
}
