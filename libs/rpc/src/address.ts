import { SynodError } from '@synod/runtime';

/** Where a node listens or is reached. */
export interface Address {
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string;
  /** 0 to 65,535; 0 asks the operating system for a free one and names no node. */
  readonly port: number;
}

const BRACKETED = /^\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\]:(\d{1,5})$/;
const PLAIN = /^([A-Za-z0-9._-]+):(\d{1,5})$/;

/**
 * Reads `host:port` or `[ipv6]:port`.
 * @throws {SynodError} `invalid-argument`, in one line that quotes the text
 */
export function parseAddress(text: string): Address {
  const match = BRACKETED.exec(text) ?? PLAIN.exec(text);
  const [host, port] = [match?.[1], Number(match?.[2])];
  if (host === undefined || port > 65_535) {
    throw new SynodError(
      'invalid-argument',
      `${JSON.stringify(text)} is not an address; write host:port or [ipv6]:port`,
    );
  }
  return { host, port };
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether only this machine can reach it. A name other than `localhost` may resolve to anything, so it does not count. */
export function isLoopback({ host }: Address): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
