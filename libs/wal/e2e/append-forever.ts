// The child of kill.e2e.spec.ts: appends numbered records to the log of a folder until it is killed, and tells each one acknowledged.
import { writeSync } from 'node:fs';
import { openDisk } from '@synod/runtime';
import { Wal } from '@synod/wal';

const IN_FLIGHT = 16;

async function main(folder: string): Promise<void> {
  let next = 0;
  const wal = await Wal.open({
    disk: openDisk(folder),
    folder: 'wal',
    segmentBytes: 64 << 10,
    onRecord: ({ payload }) => (next = payload.readUInt32BE(0) + 1),
  });
  const appendNext = async (): Promise<never> => {
    for (;;) {
      const number = next++;
      const payload = Buffer.alloc(4 + (number % 500), number % 251);
      payload.writeUInt32BE(number);
      await wal.append([{ kind: 1, group: `shard-${number % 3}`, payload }]);
      writeSync(1, `${number}\n`);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, appendNext));
}

void main(process.argv[2] ?? '');
