import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { GrpcChannels, GrpcServer, grpcTransport } from '@synod/rpc';
import { silentLog } from '@synod/runtime';
import { echoProtocol, SINGLE_MESSAGES } from './rpc/echo-protocol';

/** The answering side of the `rpc` area: our kit and a bare HTTP/2 server, each sending back what it gets. Tells its parent the ports. */
async function main(): Promise<void> {
  const fault = (error: unknown): void => {
    throw error;
  };
  const grpc = new GrpcServer({ log: silentLog, fault });
  const transport = grpcTransport({ channels: new GrpcChannels(), server: grpc, log: silentLog, fault });
  transport.serve(echoProtocol, (connection) => ({
    receive: (message) => void connection.send(message),
    closed: () => undefined,
  }));
  grpc.addStream(SINGLE_MESSAGES, (call) => {
    const left = (): void => undefined;
    return new Promise((resolve) => {
      call.receive({ message: (message) => call.write(message, left), ended: resolve });
    });
  });
  const { port: grpcPort } = await grpc.listen('127.0.0.1:0');

  const http2 = createServer();
  http2.on('stream', (stream) => {
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  });
  await new Promise<void>((resolve) => http2.listen(0, '127.0.0.1', resolve));
  process.send?.({ grpcPort, http2Port: (http2.address() as AddressInfo).port });
}

process.on('disconnect', () => process.exit());
void main();
