import { fileDescriptors, messageCodec, serviceDefinition, wireInt64 } from '@synod/contracts';

describe('message codecs', () => {
  it('keep 64-bit integers exact, as decimal strings', () => {
    const codec = messageCodec('synod.storage.v1.Row');
    const largest = '18446744073709551615';
    expect(codec.decode(codec.encode({ version: largest })).version).toBe(largest);
  });

  it('give unset fields their defaults, and none to an absent optional field', () => {
    const codec = messageCodec('synod.storage.v1.GetResponse');
    expect(codec.decode(codec.encode({}))).toEqual({ version: '0' });
    const empty = codec.decode(codec.encode({ value: Buffer.alloc(0) }));
    expect(empty).toEqual({ value: Buffer.alloc(0), version: '0', _value: 'value' });
  });

  it('name the member of a oneof that is set, and enums by name', () => {
    const codec = messageCodec('synod.storage.v1.Response');
    const decoded = codec.decode(codec.encode({ id: 7, record: { state: 'STATE_COMMITTED', attempt: 2 } }));
    expect(decoded.body).toBe('record');
    expect(decoded.record?.state).toBe('STATE_COMMITTED');
  });

  it('refuse bytes that no message can have', () => {
    expect(() => messageCodec('synod.storage.v1.Row').decode(Buffer.from([0x0a, 0x7f, 0x01]))).toThrow();
  });

  it('are made once', () => {
    expect(messageCodec('synod.storage.v1.Row')).toBe(messageCodec('synod.storage.v1.Row'));
  });
});

describe('service definitions', () => {
  it('carry path, shape and codecs of each method', () => {
    const { Get, Exchange } = serviceDefinition('synod.storage.v1.Storage');
    expect(Get).toMatchObject({ path: '/synod.storage.v1.Storage/Get', requestStream: false, responseStream: false });
    expect(Exchange).toMatchObject({ requestStream: true, responseStream: true });
    expect(Get.requestDeserialize(Get.requestSerialize({ key: Buffer.from('k') })).key).toEqual(Buffer.from('k'));
  });
});

describe('file descriptors', () => {
  it('keep the names, imports and symbols of the .proto files', () => {
    const file = fileDescriptors().find(({ name }) => name === 'synod/txn/v1/txn.proto');
    expect(file?.dependencies).toEqual(['synod/storage/v1/storage.proto']);
    expect(file?.services).toEqual(['synod.txn.v1.TransactionCoordinator']);
    expect(file?.symbols).toEqual(
      expect.arrayContaining([
        'synod.txn.v1.TransactionCoordinator.Commit',
        'synod.txn.v1.CommitRequest',
        'synod.txn.v1.CommitRequest.transaction',
        'synod.txn.v1.Response.body',
      ]),
    );
  });

  it('come with every file that they import', () => {
    const names = new Set(fileDescriptors().map(({ name }) => name));
    for (const file of fileDescriptors()) for (const imported of file.dependencies) expect(names).toContain(imported);
  });
});

describe('wireInt64', () => {
  const codec = messageCodec('etcdserverpb.ResponseHeader');

  it.each([0n, 7n, 2n ** 53n - 1n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n])(
    'writes %s as its digits would',
    (value) => {
      expect(codec.encode({ clusterId: wireInt64(value) })).toEqual(codec.encode({ clusterId: value.toString() }));
    },
  );

  it.each([-1n, -(2n ** 53n) - 1n, -(2n ** 63n), 2n ** 63n - 1n])('writes %s, signed, as its digits would', (value) => {
    expect(codec.encode({ revision: wireInt64(value) })).toEqual(codec.encode({ revision: value.toString() }));
  });
});
