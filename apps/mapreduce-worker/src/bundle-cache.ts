import { createHash } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { serviceDefinition } from '@synod/contracts';
import type { GrpcChannels } from '@synod/rpc';
import { SynodError } from '@synod/runtime';

const FETCH_MS = 30_000;

/** User programs on this worker's disk, by the SHA-256 of their bundle; fetched from the master once. */
export class BundleCache {
  private readonly bundles = new Map<string, Promise<string>>();

  constructor(
    private readonly folder: string,
    private readonly channels: GrpcChannels,
  ) {}

  /**
   * @returns the path of the verified bundle
   * @throws {SynodError} `corrupt` if what the master sent is not what its hash says; else as the call
   */
  path(sha256: Buffer, master: string): Promise<string> {
    const name = sha256.toString('hex');
    let bundle = this.bundles.get(name);
    if (bundle === undefined) {
      bundle = this.fetch(name, sha256, master);
      this.bundles.set(name, bundle);
      bundle.catch(() => this.bundles.delete(name));
    }
    return bundle;
  }

  private async fetch(name: string, sha256: Buffer, master: string): Promise<string> {
    const { GetBundle } = serviceDefinition('synod.mapreduce.v1.Master');
    const pieces: Buffer[] = [];
    const options = { deadlineMs: FETCH_MS, idempotent: true };
    for await (const { data } of this.channels.callServerStream(master, GetBundle, { sha256 }, options))
      pieces.push(data);
    const bundle = Buffer.concat(pieces);
    if (!createHash('sha256').update(bundle).digest().equals(sha256)) {
      throw new SynodError('corrupt', `the bundle ${name} arrived damaged from ${master}`);
    }
    const file = path.join(this.folder, `${name}.cjs`);
    await writeFile(`${file}.part`, bundle);
    await rename(`${file}.part`, file);
    return file;
  }
}
