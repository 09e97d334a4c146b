import { stat } from 'node:fs/promises';
import path from 'node:path';
import { SynodError } from '@synod/runtime';
import type { DataFolder } from '@synod/service-kit';
import type { HarmedFolder } from './return-from-harm';

export interface RoomAside {
  /** That the file system of the data folder has left. */
  readonly freeBytes: () => Promise<number>;
  /** To be left after all. */
  readonly reserveBytes: number;
}

/** A data folder of the operating system as one that can be set aside, if there is room for the state a second time. */
export function harmedFolder(data: DataFolder, { freeBytes, reserveBytes }: RoomAside): HarmedFolder {
  return {
    clusterId: data.version.clusterId ?? data.version.returnsTo,
    checkRoomAside: async () => {
      await data.checkRoomAside();
      const needed = (await sizeOf(path.join(data.folder, 'store', 'data.mdb'))) + reserveBytes;
      const free = await freeBytes();
      // Else the newcomer would raise an alarm for want of space, and every member would refuse puts.
      if (free >= needed) return;
      throw new SynodError(
        'failed-precondition',
        `${data.folder} has ${free} bytes free, and another copy of the state needs ${needed} with --disk-reserve-bytes`,
      );
    },
    nameNext: () => data.nameNext(),
    setAside: async () => path.join(data.folder, await data.setAside()),
  };
}

async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  );
}
