import type { Long } from '@grpc/proto-loader';
import protobuf from 'protobufjs';

/**
 * A 64-bit integer as codecs write it fastest: as a number where that is exact. A string they would read digit by digit.
 * @param value of 64 bits, signed or not
 */
export function wireInt64(value: bigint): number | Long {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  const [low, high] = [Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n))];
  return new protobuf.util.Long(low, high, value > 0n) as Long;
}
