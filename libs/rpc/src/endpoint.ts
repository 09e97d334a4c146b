import { SynodError } from '@synod/runtime';
import { parseAddress } from './address';

/** Where something is served, and how one speaks there. */
export interface Endpoint {
  /** Absent if only an address was given: whoever listens or dials decides. */
  readonly scheme: 'http' | 'https' | undefined;
  /** `host:port`, as `parseAddress` reads it. */
  readonly address: string;
}

const URL_FORM = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(.*)$/;

/**
 * Reads `http://host:port`, `https://host:port`, or an address alone.
 * @throws {SynodError} `invalid-argument`, in one line that quotes the text
 */
export function parseEndpoint(text: string): Endpoint {
  const [, scheme, address = text] = URL_FORM.exec(text) ?? [];
  parseAddress(address);
  switch (scheme?.toLowerCase()) {
    case undefined:
    case 'http':
    case 'https':
      return { scheme: scheme?.toLowerCase() as Endpoint['scheme'], address };
    default:
      throw new SynodError('invalid-argument', `${JSON.stringify(text)} is not served: write http:// or https://`);
  }
}

export function formatUrl({ scheme, address }: Endpoint): string {
  return `${scheme ?? 'http'}://${address}`;
}
