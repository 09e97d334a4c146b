import type {
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  sendUnaryData,
} from '@grpc/grpc-js';
import type { MessageShape, MethodDefinition } from '@synod/contracts';
import { SynodError } from '@synod/runtime';
import type { CallContext } from './call-context';
import type { CallGate, CallPolicy, Outcome } from './call-gate';
import type {
  AnyBidiHandler,
  AnyClientStreamHandler,
  AnyServerStreamHandler,
  AnyUnaryHandler,
  ResponseWriter,
} from './handlers';
import type { RpcLimits } from './limits';
import { OutgoingQueue } from './outgoing-queue';

type Definition = MethodDefinition<MessageShape, MessageShape>;

/**
 * The four shapes of a method as grpc-js runs them. grpc-js moves bytes only: decoding here makes bad bytes an INVALID_ARGUMENT that
 * names the method, where grpc-js would say INTERNAL.
 */
export class ServedMethod {
  constructor(
    private readonly gate: CallGate,
    private readonly policy: CallPolicy,
    private readonly definition: Definition,
    private readonly limits: RpcLimits,
  ) {}

  unary(handler: AnyUnaryHandler) {
    return (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>): void => {
      void this.gate
        .run(call, this.policy, async (context) => {
          return this.definition.responseSerialize(await handler(this.decode(call.request), context));
        })
        .then((outcome) => answer(outcome, callback));
    };
  }

  clientStream(handler: AnyClientStreamHandler) {
    return (call: ServerReadableStream<Buffer, Buffer>, callback: sendUnaryData<Buffer>): void => {
      void this.gate
        .run(call, this.policy, async (context) => {
          return this.definition.responseSerialize(await handler(this.requests(call, context), context));
        })
        .then((outcome) => answer(outcome, callback));
    };
  }

  serverStream(handler: AnyServerStreamHandler) {
    return (call: ServerWritableStream<Buffer, Buffer>): void => {
      void this.gate
        .run(call, this.policy, async (context) => {
          const responses = this.responses(call, context);
          for await (const response of handler(this.decode(call.request), context)) {
            while (!context.aborted && !responses.send(response)) await responses.drained();
            if (context.aborted) return;
          }
        })
        .then((outcome) => finish(outcome, call));
    };
  }

  bidi(handler: AnyBidiHandler) {
    return (call: ServerDuplexStream<Buffer, Buffer>): void => {
      void this.gate
        .run(call, this.policy, async (context) => {
          await handler(this.requests(call, context), this.responses(call, context), context);
        })
        .then((outcome) => finish(outcome, call));
    };
  }

  private decode(bytes: Buffer): unknown {
    try {
      return this.definition.requestDeserialize(bytes);
    } catch (cause) {
      const text = `a request to ${this.policy.method} cannot be decoded; its bytes are not of the type that the method takes`;
      throw new SynodError('invalid-argument', text, { cause });
    }
  }

  private async *requests(
    call: ServerReadableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>,
    context: CallContext,
  ): AsyncGenerator<unknown> {
    try {
      // A handler that stops reading has not stopped answering: leaving the loop must not destroy the call.
      for await (const bytes of call.iterator({ destroyOnReturn: false })) yield this.decode(bytes as Buffer);
    } catch (error) {
      if (!context.aborted) throw error;
    }
  }

  private responses(
    call: ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>,
    context: CallContext,
  ): ResponseWriter<unknown> {
    const queue = new OutgoingQueue(call, this.limits);
    context.signal.addEventListener('abort', () => queue.close(), { once: true });
    return {
      send: (message) => {
        if (!queue.hasRoom) return false;
        queue.push(this.definition.responseSerialize(message), 1);
        return true;
      },
      drained: () => queue.drained(),
    };
  }
}

function answer(outcome: Outcome<Buffer>, callback: sendUnaryData<Buffer>): void {
  if (outcome.kind === 'done') callback(null, outcome.value, outcome.trailers);
  else callback(outcome.status);
}

/** Ends a stream with its status, after what was written before. */
export function finish(
  outcome: Outcome<void>,
  call: ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>,
): void {
  if (call.cancelled) return;
  if (outcome.kind === 'done') call.end(outcome.trailers);
  else call.emit('error', outcome.status);
}
