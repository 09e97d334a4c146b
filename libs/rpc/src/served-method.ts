import { status } from '@grpc/grpc-js';
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
import type { IncomingCall } from './incoming-call';
import type { RpcLimits } from './limits';
import { OutgoingQueue } from './outgoing-queue';

type Definition = MethodDefinition<MessageShape, MessageShape>;

/** Serves the calls of one method. */
export type ServeCall = (call: IncomingCall) => void;

/** @returns what a call fails with whose bytes are not of the type that its method takes */
export type Undecodable = (cause: Error, policy: CallPolicy) => Error;

/** Unless a service says otherwise: INVALID_ARGUMENT with the name of the method. */
export const refuseUndecodable: Undecodable = (cause, { method }) => {
  const text = `a request to ${method} cannot be decoded; its bytes are not of the type that the method takes`;
  return new SynodError('invalid-argument', text, { cause });
};

/** The four shapes of a method. */
export class ServedMethod {
  constructor(
    private readonly gate: CallGate,
    private readonly policy: CallPolicy,
    private readonly definition: Definition,
    private readonly limits: RpcLimits,
    private readonly undecodable: Undecodable,
  ) {}

  unary(handler: AnyUnaryHandler): ServeCall {
    return (call) => {
      call.receiveOne((request) => {
        void this.gate
          .run(call, this.policy, async (context) => {
            return this.definition.responseSerialize(await handler(this.decode(request), context));
          })
          .then((outcome) => answer(outcome, call));
      });
    };
  }

  clientStream(handler: AnyClientStreamHandler): ServeCall {
    return (call) => {
      void this.gate
        .run(call, this.policy, async (context) => {
          return this.definition.responseSerialize(await handler(this.requests(call), context));
        })
        .then((outcome) => answer(outcome, call));
    };
  }

  serverStream(handler: AnyServerStreamHandler): ServeCall {
    return (call) => {
      call.receiveOne((request) => {
        void this.gate
          .run(call, this.policy, async (context) => {
            const responses = this.responses(call, context);
            for await (const response of handler(this.decode(request), context)) {
              while (!context.aborted && !responses.send(response)) await responses.drained();
              if (context.aborted) return;
            }
          })
          .then((outcome) => finish(outcome, call));
      });
    };
  }

  bidi(handler: AnyBidiHandler): ServeCall {
    return (call) => {
      void this.gate
        .run(call, this.policy, (context) => handler(this.requests(call), this.responses(call, context), context))
        .then((outcome) => finish(outcome, call));
    };
  }

  private decode(bytes: Buffer): unknown {
    try {
      return this.definition.requestDeserialize(bytes);
    } catch (cause) {
      throw this.undecodable(cause as Error, this.policy);
    }
  }

  private async *requests(call: IncomingCall): AsyncGenerator<unknown> {
    for await (const bytes of call.messages()) yield this.decode(bytes);
  }

  private responses(call: IncomingCall, context: CallContext): ResponseWriter<unknown> {
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

function answer(outcome: Outcome<Uint8Array>, call: IncomingCall): void {
  if (outcome.kind === 'done') call.answer(outcome.value, outcome.trailers);
  else call.finish(outcome.status);
}

/** Ends a stream with its status, after what was written before. */
export function finish(outcome: Outcome<void>, call: IncomingCall): void {
  if (outcome.kind === 'failed') return call.finish(outcome.status);
  call.respond();
  call.finish({ code: status.OK, details: '', metadata: outcome.trailers });
}
