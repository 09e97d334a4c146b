import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '@synod/protocols';
import { SynodError } from '@synod/runtime';

/** A key or value, as users give it: bytes, or text for its UTF-8. */
export type Bytes = Uint8Array | string;

/** @throws {SynodError} `invalid-argument` */
export function keyBytes(key: Bytes): Buffer {
  const bytes = Buffer.from(key);
  if (bytes.length === 0)
    throw new SynodError('invalid-argument', `the key is empty: keys are 1 to ${KEY_BYTES_MAX} bytes`);
  if (bytes.length > KEY_BYTES_MAX) {
    throw new SynodError('invalid-argument', `the key has ${bytes.length} bytes: keys are 1 to ${KEY_BYTES_MAX}`);
  }
  return bytes;
}

/** @throws {SynodError} `invalid-argument` */
export function valueBytes(value: Bytes): Buffer {
  const bytes = Buffer.from(value);
  if (bytes.length > VALUE_BYTES_MAX) {
    throw new SynodError(
      'invalid-argument',
      `the value has ${bytes.length} bytes: values are at most ${VALUE_BYTES_MAX}`,
    );
  }
  return bytes;
}
