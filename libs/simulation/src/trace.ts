import { hashText } from './draw';

/** One line of a trace; its text is made only if somebody looks. */
export interface TraceLine {
  readonly at: number;
  readonly event: number;
  readonly node: string;
  readonly kind: string;
  readonly detail: unknown;
}

/**
 * What happened, as a 64-bit rolling hash over everything and the last lines in words. Two runs of one seed must end with one digest;
 * the words are for people and never enter the hash beyond their own text, so formatting can change without changing digests.
 */
export class Trace {
  private high = 0x6a09e667;
  private low = 0xbb67ae85 | 0;
  private readonly ring: TraceLine[] = [];
  private next = 0;
  private readonly texts = new Map<string, number>();

  /** @param linesMax how many of the last lines to keep @param listener sees every line as it happens, for a run with a full trace */
  constructor(
    private readonly linesMax: number,
    private readonly listener?: (line: string) => void,
  ) {}

  /** Takes a whole number into the digest. */
  mix(value: number): void {
    const lowWord = value | 0;
    // Virtual microseconds outgrow 32 bits after 71 minutes; one more round is cheaper than a branch on it.
    const highWord = (value / 4294967296) | 0;
    this.low = Math.imul(this.low ^ lowWord, 0x85ebca6b);
    this.high = Math.imul(this.high ^ highWord ^ (this.low >>> 15), 0xc2b2ae35);
    this.low ^= this.high >>> 13;
  }

  mixText(text: string): void {
    let hash = this.texts.get(text);
    if (hash === undefined) {
      hash = hashText(text);
      // Bounded: messages repeat, values of fields do not.
      if (this.texts.size < 4096) this.texts.set(text, hash);
    }
    this.mix(hash);
  }

  /** Keeps a line. `detail` is formatted later, so it must not change any more. */
  line(at: number, event: number, node: string, kind: string, detail: unknown): void {
    const line = { at, event, node, kind, detail };
    if (this.listener !== undefined) this.listener(formatLine(line));
    if (this.linesMax === 0) return;
    this.ring[this.next] = line;
    this.next = this.next + 1 === this.linesMax ? 0 : this.next + 1;
  }

  /** 16 hex digits. */
  digest(): string {
    return [this.high, this.low].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
  }

  /** The last lines, oldest first: `µs event node kind detail`. */
  lines(): string[] {
    return [...this.ring.slice(this.next), ...this.ring.slice(0, this.next)].map(formatLine);
  }
}

function formatLine(line: TraceLine): string {
  return `${line.at} ${line.event} ${line.node} ${line.kind} ${describe(line.detail, 0)}`.trimEnd();
}

const ITEMS_SHOWN = 12;
const BYTES_SHOWN = 24;

/** A value in a few words: long bytes and lists are cut, so that one line stays one line. */
export function describe(value: unknown, depth: number): string {
  if (typeof value === 'string') return depth === 0 ? value : JSON.stringify(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value !== 'object' || value === null) return String(value);
  if (value instanceof Uint8Array) return describeBytes(value);
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  if (depth >= 5) return '…';
  if (value instanceof Map) return `Map${describe([...value], depth + 1)}`;
  if (value instanceof Set) return `Set${describe([...value], depth + 1)}`;
  if (Array.isArray(value)) {
    const shown = value.slice(0, ITEMS_SHOWN).map((item) => describe(item, depth + 1));
    return `[${shown.join(' ')}${value.length > ITEMS_SHOWN ? ` … ${value.length} in all` : ''}]`;
  }
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return `{${fields.map(([name, field]) => `${name}=${describe(field, depth + 1)}`).join(' ')}}`;
}

function describeBytes(bytes: Uint8Array): string {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, BYTES_SHOWN));
  const text = head.toString('latin1').replace(/[^\x20-\x7e]/g, (byte) => {
    return `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
  return bytes.length > BYTES_SHOWN ? `'${text}…'(${bytes.length} bytes)` : `'${text}'`;
}
