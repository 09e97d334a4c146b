/** A message type as `MessageTypes` lists it: what may be sent under this name, and what is received. */
export interface MessageShape {
  readonly input: unknown;
  readonly output: unknown;
}

/** The four shapes of a gRPC method, told apart at compile time so that each has its own kind of handler. */
export interface Unary<Request extends MessageShape, Response extends MessageShape> {
  readonly shape: 'unary';
  readonly request: Request;
  readonly response: Response;
}

export interface ClientStream<Request extends MessageShape, Response extends MessageShape> {
  readonly shape: 'client-stream';
  readonly request: Request;
  readonly response: Response;
}

export interface ServerStream<Request extends MessageShape, Response extends MessageShape> {
  readonly shape: 'server-stream';
  readonly request: Request;
  readonly response: Response;
}

export interface BidiStream<Request extends MessageShape, Response extends MessageShape> {
  readonly shape: 'bidi-stream';
  readonly request: Request;
  readonly response: Response;
}

export type MethodShape =
  | Unary<MessageShape, MessageShape>
  | ClientStream<MessageShape, MessageShape>
  | ServerStream<MessageShape, MessageShape>
  | BidiStream<MessageShape, MessageShape>;
