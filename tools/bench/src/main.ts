import { consensusArea } from './consensus/area';
import { rpcArea } from './rpc/area';

/** Areas by name: each starts what it needs, times the contenders in turns in one run, and returns a table. */
const AREAS: Readonly<Record<string, (say: (text: string) => void) => Promise<string>>> = {
  rpc: rpcArea,
  consensus: consensusArea,
};

async function main(): Promise<void> {
  const [name = ''] = process.argv.slice(2);
  const area = AREAS[name];
  if (area === undefined) {
    process.stderr.write(`error: npm run bench -- AREA, with one of: ${Object.keys(AREAS).join(', ')}\n`);
    process.exit(2);
  }
  const table = await area((text) => process.stderr.write(`${text}\n`));
  process.stdout.write(`${table}\n`);
  process.exit(0);
}

main().catch((error: unknown) => {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
