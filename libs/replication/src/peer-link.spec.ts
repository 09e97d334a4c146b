import { silentLog, type ConnectionHandler, type Transport } from '@synod/runtime';
import { PeerLinks, type Peer } from './peer-link';
import { peerProtocol } from './peer-codec';
import type { PeerMessage } from './peer-messages';

const HELLO = { kind: 'hello', clusterId: 'c', nodeId: 'n2', incarnation: 'd2', speaks: 1, understands: 1 } as const;

/** A node that is dialled by another one. */
function dialled(): {
  say(message: PeerMessage): void;
  readonly connected: Peer[];
  readonly log: string[];
  closed: number;
} {
  const seen = { connected: [] as Peer[], log: [] as string[], closed: 0 };
  let accept!: (connection: { send(): boolean; close(): void }) => ConnectionHandler<PeerMessage>;
  const transport = { connect: () => undefined, serve: (_: unknown, handler: typeof accept) => (accept = handler) };
  new PeerLinks(
    { clusterId: 'c', nodeId: 'n1', incarnation: 'd1' },
    peerProtocol(),
    {
      transport: transport as unknown as Transport,
      timers: { after: () => () => undefined },
      random: { below: () => 0, bytes: (size) => Buffer.alloc(size) },
      log: { ...silentLog, warn: (text) => seen.log.push(text) },
    },
    { connected: (peer) => seen.connected.push(peer), received: () => undefined, gone: () => undefined },
  );
  const say = (message: PeerMessage): void => accept({ send: () => true, close: () => seen.closed++ }).receive(message);
  return Object.assign(seen, { say });
}

it('talks to a member of its cluster', () => {
  const node = dialled();
  node.say(HELLO);
  expect(node.connected).toEqual([{ nodeId: 'n2', incarnation: 'd2' }]);
  // A later release may speak more, as long as it understands this one.
  node.say({ ...HELLO, speaks: 9 });
  expect([node.connected.length, node.log, node.closed]).toEqual([2, [], 1]); // The newer conversation closes the older one.
});

// Invariant `members-understand-each-other`.
it.each([
  ['another cluster', { clusterId: 'd' }, 'refusing a peer of another cluster'],
  ['a build before versions were said', { speaks: 0, understands: 0 }, 'not talking to a member of an older release'],
  [
    'a release that does not understand this one',
    { speaks: 9, understands: 9 },
    'not talking to a member of a newer release',
  ],
])('says nothing to a member of %s, and logs the reason once', (_, others, reason) => {
  const node = dialled();
  for (let attempt = 0; attempt < 3; attempt++) node.say({ ...HELLO, ...others });
  expect([node.connected, node.closed]).toEqual([[], 3]);
  expect(node.log).toEqual([expect.stringContaining(reason)]);
  node.say(HELLO);
  expect(node.connected).toHaveLength(1);
});
