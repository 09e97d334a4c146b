import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { fileDescriptors, serviceDefinition, type reflectionV1 } from '@synod/contracts';
import { Reflection } from './reflection';
import { withServer } from './test-server';

const BUF = path.resolve(__dirname, '../../../node_modules/.bin/buf');

/** What `buf curl` prints, a client that knows nothing but the address. */
async function bufCurl(url: string, ...options: string[]): Promise<string> {
  const args = ['curl', '--protocol', 'grpc', '--http2-prior-knowledge', ...options, url];
  return (await promisify(execFile)(BUF, args, { cwd: '/' })).stdout;
}

describe('reflection, to a client without any file', () => {
  const serving = (scenario: (url: string) => Promise<void>): Promise<void> =>
    withServer(
      {},
      (server) => {
        // Its messages refer to another package, which descriptors that protobufjs regenerates cannot.
        server.addService('synod.txn.v1.TransactionCoordinator', {
          Outcome: ({ handle }) => ({ record: { state: 'STATE_COMMITTED', attempt: 1, commitTs: handle } }),
        });
        server.addService('etcdserverpb.KV', { Range: ({ key }) => ({ kvs: [{ key, version: '3' }], count: '1' }) });
      },
      ({ address }) => scenario(`http://${address}`),
    );

  it('lists every method that is served, in both versions of the protocol', async () => {
    await serving(async (url) => {
      for (const version of ['grpc-v1', 'grpc-v1alpha']) {
        const methods = (await bufCurl(url, '--list-methods', '--reflect-protocol', version)).trim().split('\n');
        expect(methods).toEqual(
          expect.arrayContaining([
            'etcdserverpb.KV/Range',
            'grpc.health.v1.Health/Check',
            'grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
            'grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
            'synod.txn.v1.TransactionCoordinator/Commit',
          ]),
        );
        expect(methods.join()).not.toContain('synod.storage');
      }
    });
  }, 30_000);

  it('lets it call methods, also with types of other packages, and health', async () => {
    await serving(async (url) => {
      const range = await bufCurl(`${url}/etcdserverpb.KV/Range`, '-d', '{"key":"aw=="}');
      expect(JSON.parse(range)).toEqual({ kvs: [{ key: 'aw==', version: '3' }], count: '1' });
      const outcome = await bufCurl(`${url}/synod.txn.v1.TransactionCoordinator/Outcome`, '-d', '{"handle":"77"}');
      expect(JSON.parse(outcome)).toEqual({ record: { state: 'STATE_COMMITTED', attempt: 1, commitTs: '77' } });
      const health = await bufCurl(`${url}/grpc.health.v1.Health/Check`, '-d', '{"service":"etcdserverpb.KV"}');
      expect(JSON.parse(health)).toEqual({ status: 'SERVING' });
    });
  }, 30_000);
});

describe('Reflection', () => {
  type Request = Parameters<ReturnType<typeof info>['requestSerialize']>[0];
  const info = () => serviceDefinition('grpc.reflection.v1.ServerReflection').ServerReflectionInfo;

  async function asked(...requests: Request[]): Promise<reflectionV1.ServerReflectionResponse[]> {
    const reflection = new Reflection(fileDescriptors(), () => ['b.B', 'a.A']);
    const answers: reflectionV1.ServerReflectionResponse[] = [];
    const questions = async function* () {
      for (const request of requests) yield info().requestDeserialize(info().requestSerialize(request));
    };
    await reflection.serve(questions(), {
      send: (answer) => answers.push(answer) > 0,
      drained: () => Promise.resolve(),
    });
    return answers;
  }

  it('lists services in order of name', async () => {
    const [answer] = await asked({ listServices: '*' });
    expect(answer?.listServicesResponse?.service).toEqual([{ name: 'a.A' }, { name: 'b.B' }]);
  });

  it.each([
    [{ fileByFilename: 'synod/txn/v1/txn.proto' }],
    [{ fileContainingSymbol: 'synod.txn.v1.TransactionCoordinator' }],
    [{ fileContainingSymbol: 'synod.txn.v1.TransactionCoordinator.Commit' }],
    [{ fileContainingSymbol: 'synod.txn.v1.CommitRequest' }],
    [{ fileContainingSymbol: 'synod.txn.v1.CommitRequest.transaction' }],
  ])('answers %j with the file and what it imports', async (request) => {
    const [answer] = await asked(request);
    const files = fileDescriptors();
    const [txn, storage] = ['synod/txn/v1/txn.proto', 'synod/storage/v1/storage.proto'].map((name) =>
      files.find((file) => file.name === name),
    );
    expect(answer?.fileDescriptorResponse?.fileDescriptorProto).toEqual([txn?.bytes, storage?.bytes]);
    expect(answer?.originalRequest).toMatchObject(request);
  });

  it('answers what it does not know in band, and goes on', async () => {
    const answers = await asked(
      { fileByFilename: 'no.proto' },
      { fileContainingSymbol: 'no.Such' },
      { fileContainingExtension: { containingType: 'no.Such', extensionNumber: 1 } },
      { allExtensionNumbersOfType: 'no.Such' },
      {},
      { allExtensionNumbersOfType: 'synod.storage.v1.Row' },
    );
    expect(answers.map(({ errorResponse }) => errorResponse?.errorCode)).toEqual([5, 5, 5, 5, 3, undefined]);
    expect(answers[1]?.errorResponse?.errorMessage).toBe('there is no symbol no.Such here');
    expect(answers[5]?.allExtensionNumbersResponse).toEqual({
      baseTypeName: 'synod.storage.v1.Row',
      extensionNumber: [],
    });
  });
});
