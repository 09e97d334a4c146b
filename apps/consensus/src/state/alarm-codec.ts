import { SynodError } from '@synod/runtime';
import type { ByteReader, ByteWriter } from './bytes';
import type { Alarm } from './requests';

// The wire numbers: the position in this list, which are etcd's.
const TYPES: readonly Alarm['type'][] = ['none', 'no-space', 'corrupt'];

export function writeAlarm(fields: ByteWriter, { member, type, automatic }: Alarm): void {
  fields
    .int64(BigInt.asIntN(64, member))
    .byte(TYPES.indexOf(type))
    .byte(automatic ? 1 : 0);
}

/** @throws {SynodError} `corrupt` if a later release wrote it */
export function readAlarm(fields: ByteReader): Alarm {
  const member = BigInt.asUintN(64, fields.int64());
  const number = fields.byte();
  const type = TYPES[number];
  if (type === undefined) throw new SynodError('corrupt', `an alarm is of the unknown type ${number}`);
  return { member, type, automatic: fields.byte() === 1 };
}
