import { StatusError, status, type Undecodable } from '@synod/rpc';

/**
 * What a server of etcd says to bytes that are no request: INTERNAL, in the words of grpc-go and of its decoder, which has one for calls and
 * one for streams.
 */
export const undecodable: Undecodable = (cause, { stream }) => {
  const what = stream ? 'failed to unmarshal the received message' : 'error unmarshalling request:';
  return new StatusError(status.INTERNAL, `grpc: ${what} ${reasonOf(cause)}`);
};

function reasonOf(cause: Error): string {
  // A field is longer than what is left.
  if (cause instanceof RangeError) return 'unexpected EOF';
  const wireType = /^invalid wire type (\d)/.exec(cause.message)?.[1];
  return `proto: ${wireType === undefined ? cause.message : `illegal wireType ${wireType}`}`;
}
