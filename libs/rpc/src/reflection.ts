import { status } from '@grpc/grpc-js';
import type { FileDescriptor, reflectionV1 } from '@synod/contracts';
import type { ResponseWriter } from './handlers';

type Question = reflectionV1.ServerReflectionRequest__Output;
type Answer = reflectionV1.ServerReflectionResponse;

/** The two names of one service: grpcurl asks for v1alpha, newer clients for v1. */
export const REFLECTION_SERVICES = [
  'grpc.reflection.v1.ServerReflection',
  'grpc.reflection.v1alpha.ServerReflection',
] as const;

/**
 * Tells clients what a server speaks, so that `grpcurl localhost:PORT list` and `buf curl` need no files at hand. Serves the descriptors
 * that buf made: real file names and imports, without which clients cannot resolve types of another package.
 */
export class Reflection {
  private readonly byName = new Map<string, FileDescriptor>();
  private readonly bySymbol = new Map<string, FileDescriptor>();

  constructor(
    files: readonly FileDescriptor[],
    /** Full names of what the server serves, asked for anew each time. */
    private readonly services: () => readonly string[],
  ) {
    for (const file of files) {
      this.byName.set(file.name, file);
      for (const symbol of file.symbols) this.bySymbol.set(symbol, file);
    }
  }

  /** What cannot be answered is answered with an error message, and the stream goes on. */
  async serve(questions: AsyncIterable<Question>, answers: ResponseWriter<Answer>): Promise<void> {
    for await (const question of questions) {
      if (!answers.send({ validHost: question.host, originalRequest: question, ...this.answer(question) })) {
        await answers.drained();
      }
    }
  }

  private answer(question: Question): Answer {
    switch (question.messageRequest) {
      case 'fileByFilename':
        return this.fileAnswer(this.byName.get(question.fileByFilename ?? ''), `file ${question.fileByFilename ?? ''}`);
      case 'fileContainingSymbol': {
        const symbol = question.fileContainingSymbol ?? '';
        return this.fileAnswer(this.bySymbol.get(symbol), `symbol ${symbol}`);
      }
      case 'fileContainingExtension':
        return notFound(`extension of ${question.fileContainingExtension?.containingType ?? ''}`);
      case 'allExtensionNumbersOfType': {
        const type = question.allExtensionNumbersOfType ?? '';
        // Our files extend nothing, so every type that we know has none.
        if (!this.bySymbol.has(type)) return notFound(`type ${type}`);
        return { allExtensionNumbersResponse: { baseTypeName: type, extensionNumber: [] } };
      }
      case 'listServices':
        return { listServicesResponse: { service: [...this.services()].sort().map((name) => ({ name })) } };
      case undefined:
      default: // Of a newer version of the protocol.
        return { errorResponse: { errorCode: status.INVALID_ARGUMENT, errorMessage: 'the request asks nothing' } };
    }
  }

  private fileAnswer(file: FileDescriptor | undefined, what: string): Answer {
    if (file === undefined) return notFound(what);
    return { fileDescriptorResponse: { fileDescriptorProto: this.withImports(file).map(({ bytes }) => bytes) } };
  }

  /** The file and everything that it imports, each once. */
  private withImports(file: FileDescriptor): FileDescriptor[] {
    const found = new Set([file]);
    for (const { dependencies } of found) {
      for (const name of dependencies) {
        const imported = this.byName.get(name);
        if (imported !== undefined) found.add(imported);
      }
    }
    return [...found];
  }
}

function notFound(what: string): Answer {
  return { errorResponse: { errorCode: status.NOT_FOUND, errorMessage: `there is no ${what} here` } };
}
