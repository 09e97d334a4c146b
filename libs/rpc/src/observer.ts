/** Told of every call that a server serves and of every batch of a transport, for metrics. Methods are full names, `/package.Service/Method`. */
export interface RpcObserver {
  /** @param code name of the gRPC status, such as `OK` */
  callEnded(method: string, code: string, seconds: number): void;
  streamOpened(method: string): void;
  streamClosed(method: string): void;
  /** A batch of a transport left for, or came from, the other end. */
  batchSent?(method: string, messages: number, bytes: number): void;
  batchReceived?(method: string, messages: number, bytes: number): void;
}

export const noObserver: RpcObserver = {
  callEnded: () => undefined,
  streamOpened: () => undefined,
  streamClosed: () => undefined,
};
