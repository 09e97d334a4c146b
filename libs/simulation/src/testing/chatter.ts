import type { Codec, Protocol } from '@synod/runtime';
import { drawFaultPlan } from '../draw-plan';
import type { Drain } from '../driver';
import { Nemesis } from '../nemesis';
import type { NodePorts } from '../sim-node';
import { World } from '../world';

const json: Codec<{ readonly hop: number }> = {
  encode: (batch) => Buffer.from(JSON.stringify(batch)),
  decode: (bytes) => JSON.parse(Buffer.from(bytes).toString()) as { readonly hop: number }[],
};
const gossip: Protocol<{ readonly hop: number }, { readonly hop: number }> = {
  name: '/test.Gossip/Exchange',
  up: json,
  down: json,
};
const HOPS_MAX = 40;
const NAMES = ['a', 'b', 'c'];

/** A small cluster that uses every port under a drawn fault plan for two virtual seconds: the digest of its trace. */
export async function chatter(
  seed: number,
  options: { readonly extraDraw?: boolean; readonly drain?: Drain } = {},
): Promise<string> {
  const plan = drawFaultPlan(seed, { servers: NAMES, horizonUs: 1_500_000, datagramProtocols: [gossip.name] });
  const world = new World({ seed, shape: plan.shape, drain: options.drain ?? 'turning' });
  for (const name of NAMES) world.addNode(name, (ports) => gossiper(name, ports, options.extraDraw === true)).start();
  new Nemesis(world, plan).start();
  await world.run(2_000_000);
  return world.trace.digest();
}

async function gossiper(name: string, ports: NodePorts, extraDraw: boolean): Promise<void> {
  const file = await ports.disk.open('log', { create: true });
  await ports.disk.syncDirectory('');
  let size = await file.size();
  if (extraDraw) ports.random.below(2);
  ports.transport.serve(gossip, (connection) => ({
    receive: ({ hop }) => {
      ports.log.debug('heard', { hop, at: ports.clock.monotonicUs() });
      void (async () => {
        await file.write(size++, Buffer.from([hop]));
        await file.sync();
        ports.store.transaction((tx) => tx.put(Buffer.from([hop & 0xff]), Buffer.from(name)));
        if (hop < HOPS_MAX) connection.send({ hop: hop + 1 });
      })();
    },
    closed: () => undefined,
  }));
  const dial = (): void => {
    const other = NAMES[ports.random.below(NAMES.length)] as string;
    const connection = ports.transport.connect(gossip, `${other}:1`, {
      receive: ({ hop }) => void connection.send({ hop: hop + 1 }),
      closed: () => undefined,
    });
    connection.send({ hop: 0 });
    ports.timers.after(50_000 + ports.random.below(50_000), dial);
  };
  dial();
}

/** @param argument `SEED` or `SEED,DRAIN` */
export function main(argument: string): Promise<string> {
  const [seed, drain] = argument.split(',');
  return chatter(Number(seed), drain === undefined ? {} : { drain: drain as Drain });
}
