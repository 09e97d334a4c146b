/** How messages of one direction become bytes. A batch is what one event-loop turn sent on one connection. */
export interface Codec<T> {
  encode(batch: readonly T[]): Uint8Array;
  /** @throws {Error} on bytes that `encode` cannot have made; the connection is then closed. */
  decode(bytes: Uint8Array): T[];
}

/**
 * One kind of conversation between two nodes: who connects sends `Up`, who serves sends `Down`.
 * In production it is a bidirectional gRPC stream of batches; `name` is its full method name, `/package.Service/Method`.
 */
export interface Protocol<Up, Down> {
  readonly name: string;
  readonly up: Codec<Up>;
  readonly down: Codec<Down>;
}

/** One end of a conversation. Messages arrive in order and at most once; the connection may break and take a tail with it. */
export interface Connection<Out> {
  /**
   * Queues a message; what is sent within one event-loop turn leaves as one batch. The message must not be changed afterwards.
   * @returns false if the connection is closed or its bounded queue is full: then the message was *certainly not* sent
   */
  send(message: Out): boolean;
  /** Idempotent. The other end's `closed` is called; this end's is not. */
  close(): void;
}

/** What the owner of one end does with what arrives. Never called inside `connect` or `send`. */
export interface ConnectionHandler<In> {
  receive(message: In): void;
  /**
   * Called once, when the connection ends for any reason but this end's own `close()`. Nothing arrives afterwards.
   * @param refused the machine that was dialled says that nobody listens there: it lives, and the process that served there does not
   */
  closed(reason: string, refused?: boolean): void;
}

/** The network, as a port. Connections are not re-established by it: whoever dialled decides. */
export interface Transport {
  /**
   * Opens a conversation with the node at `address` (`host:port`). Returns at once; messages wait in the bounded queue until the
   * other end is reached, and `closed` tells when it cannot be.
   */
  connect<Up, Down>(protocol: Protocol<Up, Down>, address: string, handler: ConnectionHandler<Down>): Connection<Up>;
  /** Accepts conversations of one protocol on this node. */
  serve<Up, Down>(protocol: Protocol<Up, Down>, accept: (connection: Connection<Down>) => ConnectionHandler<Up>): void;
}
