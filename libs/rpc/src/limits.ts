/** The bounds of one server or of one set of channels. */
export interface RpcLimits {
  /** Of one message either way. A transaction of 8 MiB, the largest thing sent, fits with room for its envelope. */
  readonly messageBytesMax: number;
  /** Calls being served at once, long-lived streams apart; one more is answered RESOURCE_EXHAUSTED. */
  readonly inflightMax: number;
  /** Streams open at once: peers, watches, keep-alives. One more is answered RESOURCE_EXHAUSTED. */
  readonly streamsMax: number;
  /** Streams of health and reflection, apart from those: watchers shall not take the place of peers. One more is refused likewise. */
  readonly probeStreamsMax: number;
  /** Messages accepted on one stream and not yet handed to the network; one more is refused. */
  readonly queueMessagesMax: number;
  /** Their bytes: when reached, nothing more is accepted until some of it has left. */
  readonly queueBytesMax: number;
  /** A batch of more bytes is split: the receiver's other streams shall not wait behind it. */
  readonly batchBytesMax: number;
  /** A quiet connection is asked for a sign of life this often. */
  readonly keepaliveTimeMs: number;
  /** Without one for this long it is closed. Longer than any pause of an event loop that is still worth waiting for. */
  readonly keepaliveTimeoutMs: number;
  /** A dial that is not answered by then has failed. */
  readonly dialTimeoutMs: number;
  /** Before the second attempt to connect, and before later ones at most: the default of 1 s and more turns a blip into an outage. */
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
}

export const DEFAULT_RPC_LIMITS: RpcLimits = {
  messageBytesMax: 16 * 1024 * 1024,
  inflightMax: 1024,
  streamsMax: 4096,
  probeStreamsMax: 512,
  queueMessagesMax: 16_384,
  queueBytesMax: 64 * 1024 * 1024,
  batchBytesMax: 1024 * 1024,
  keepaliveTimeMs: 2_500,
  keepaliveTimeoutMs: 5_000,
  dialTimeoutMs: 3_000,
  reconnectMinMs: 50,
  reconnectMaxMs: 250,
};
