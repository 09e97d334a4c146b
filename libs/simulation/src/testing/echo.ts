import type { Codec, Connection, ConnectionHandler, Protocol } from '@synod/runtime';
import type { SimNode } from '../sim-node';
import type { World } from '../world';

export interface Note {
  readonly text: string;
}

const json: Codec<Note> = {
  encode: (batch) => Buffer.from(JSON.stringify(batch)),
  decode: (bytes) => JSON.parse(Buffer.from(bytes).toString()) as Note[],
};

/** Two nodes that write notes to each other. */
export const notes: Protocol<Note, Note> = { name: '/test.Notes/Exchange', up: json, down: json };

/** One end of a conversation, with everything that it saw. */
export interface Seen {
  connection: Connection<Note>;
  /** Texts received, and in which event of the world. */
  readonly received: { readonly text: string; readonly event: number }[];
  /** Reasons of `closed`, by virtual microsecond. */
  readonly closed: { readonly reason: string; readonly refused: boolean; readonly at: number }[];
}

/** A host that keeps what it sees on each of its ends. */
export interface NoteHost {
  readonly accepted: Seen[];
  dial(address: string): Seen;
}

export function addNoteNode(world: World, name: string, serves = true): SimNode<NoteHost> {
  const node = world.addNode<NoteHost>(name, (ports) => {
    const accepted: Seen[] = [];
    if (serves) {
      ports.transport.serve(notes, (connection) => {
        const seen = blank(connection);
        accepted.push(seen);
        return handlerOf(world, seen);
      });
    }
    return {
      accepted,
      dial: (address) => {
        const seen: { connection?: Connection<Note> } & Omit<Seen, 'connection'> = { received: [], closed: [] };
        const connection = ports.transport.connect(notes, address, handlerOf(world, seen));
        return Object.assign(seen, { connection });
      },
    };
  });
  node.start();
  return node;
}

function blank(connection: Connection<Note>): Seen {
  return { connection, received: [], closed: [] };
}

function handlerOf(world: World, seen: Omit<Seen, 'connection'>): ConnectionHandler<Note> {
  return {
    receive: ({ text }) => void seen.received.push({ text, event: world.events }),
    closed: (reason, refused = false) => void seen.closed.push({ reason, refused, at: world.now }),
  };
}

export function texts(seen: Seen): string[] {
  return seen.received.map(({ text }) => text);
}
