import { GrpcChannels, GrpcServer, formatAddress, status, statusOf } from '@synod/rpc';
import { serviceDefinition } from '@synod/contracts';
import { SynodError, silentLog } from '@synod/runtime';
import { coordinatorService } from './service';
import type { ThinTransactions } from './thin-transactions';

const NAME = 'txn-coordinator-1/'.padEnd(50, 'a');
const { Begin, Get, Put, Commit, Outcome } = serviceDefinition('synod.txn.v1.TransactionCoordinator');
const options = { deadlineMs: 10_000 };

/** A real server on a free port, in front of transactions that answer as told. */
async function served(thin: Partial<ThinTransactions>) {
  const server = new GrpcServer({ log: silentLog, fault: () => undefined });
  server.addService('synod.txn.v1.TransactionCoordinator', coordinatorService(thin as ThinTransactions));
  const channels = new GrpcChannels();
  const address = formatAddress(await server.listen('127.0.0.1:0'));
  const stop = async (): Promise<void> => {
    channels.close();
    await server.stop({ drainMs: 100 });
  };
  return { channels, address, stop };
}

it('speaks timestamps as strings, absent values as absent, and handles as txn_id@anchor', async () => {
  const txn = { id: 'ab'.repeat(16), anchor: 17 };
  const written: unknown[] = [];
  const { channels, address, stop } = await served({
    begin: async () => ({ name: NAME, readTs: 2n ** 60n }),
    get: async (_name, key) => (key.toString() === 'there' ? Buffer.from([0, 255]) : undefined),
    put: (...args) => void written.push(args),
    commit: async () => ({ commitTs: 2n ** 60n + 1n, txn }),
    outcome: async () => ({ outcome: { state: 'aborted', attempt: 1 }, conflict: false, reason: '' }),
  });
  try {
    const begun = await channels.callUnary(address, Begin, {}, options);
    expect(begun).toEqual({ transaction: NAME, readTs: '1152921504606846976' });
    const there = await channels.callUnary(address, Get, { transaction: NAME, key: Buffer.from('there') }, options);
    const absent = await channels.callUnary(address, Get, { transaction: NAME, key: Buffer.from('gone') }, options);
    expect([there.value, absent._value]).toEqual([Buffer.from([0, 255]), undefined]);
    await channels.callUnary(
      address,
      Put,
      { transaction: NAME, key: Buffer.from('k'), value: Buffer.from('v') },
      options,
    );
    expect(written).toEqual([[NAME, Buffer.from('k'), Buffer.from('v')]]);
    const commit = await channels.callUnary(address, Commit, { transaction: NAME }, options);
    expect(commit).toEqual({ commitTs: '1152921504606846977', handle: `${'ab'.repeat(16)}@17` });
    const { record } = await channels.callUnary(address, Outcome, { handle: commit.handle }, options);
    expect(record).toMatchObject({ state: 'STATE_ABORTED', attempt: 1 });
  } finally {
    await stop();
  }
});

it.each([
  ['conflict', status.ABORTED],
  ['outcome-unknown', status.UNKNOWN],
  ['not-leader', status.FAILED_PRECONDITION],
  ['overloaded', status.RESOURCE_EXHAUSTED],
] as const)('answers %s with the status that the table says', async (kind, code) => {
  const { channels, address, stop } = await served({
    commit: () => Promise.reject(new SynodError(kind, 'because', { hint: '127.0.0.1:2701' })),
  });
  try {
    const call = channels.callUnary(address, Commit, { transaction: NAME }, options).catch((error: unknown) => error);
    const error = await call;
    expect(error).toMatchObject({ kind, details: { hint: '127.0.0.1:2701' } });
    expect(statusOf(error)?.code).toBe(code);
  } finally {
    await stop();
  }
});
