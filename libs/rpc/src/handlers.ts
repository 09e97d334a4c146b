import type { MethodShape, ServiceName, ServiceTypes } from '@synod/contracts';
import type { CallContext } from './call-context';

/** Where a handler of a bidirectional stream puts its responses. Bounded. */
export interface ResponseWriter<T> {
  /** @returns false if the client is gone or the queue is full: then the message was certainly not sent */
  send(message: T): boolean;
  /** Resolves when the queue has room again, or the client is gone. */
  drained(): Promise<void>;
}

/**
 * A handler by the shape of its method. What it throws becomes the status of the call: `SynodError` by the one table, `StatusError` as
 * it stands, anything else INTERNAL. Requests of a stream end, without an error, when the client is done or gone; if it is gone,
 * `context.signal` aborts too, though maybe a little later. Cancelled server streams are returned at their next `yield`.
 */
export type Handler<M extends MethodShape> = M extends { readonly shape: 'unary' }
  ? (request: M['request']['output'], context: CallContext) => Promise<M['response']['input']> | M['response']['input']
  : M extends { readonly shape: 'client-stream' }
    ? (requests: AsyncIterable<M['request']['output']>, context: CallContext) => Promise<M['response']['input']>
    : M extends { readonly shape: 'server-stream' }
      ? (request: M['request']['output'], context: CallContext) => AsyncIterable<M['response']['input']>
      : (
          requests: AsyncIterable<M['request']['output']>,
          responses: ResponseWriter<M['response']['input']>,
          context: CallContext,
        ) => Promise<void>;

/** Handlers of a service; a method without one is answered UNIMPLEMENTED, unless a transport serves it. */
export type ServiceHandlers<Name extends ServiceName> = {
  readonly [Method in keyof ServiceTypes[Name]]?: ServiceTypes[Name][Method] extends MethodShape
    ? Handler<ServiceTypes[Name][Method]>
    : never;
};

/** A handler whose types were checked where it was registered. */
export type AnyUnaryHandler = (request: unknown, context: CallContext) => unknown;
export type AnyClientStreamHandler = (requests: AsyncIterable<unknown>, context: CallContext) => Promise<unknown>;
export type AnyServerStreamHandler = (request: unknown, context: CallContext) => AsyncIterable<unknown>;
export type AnyBidiHandler = (
  requests: AsyncIterable<unknown>,
  responses: ResponseWriter<unknown>,
  context: CallContext,
) => Promise<void>;
