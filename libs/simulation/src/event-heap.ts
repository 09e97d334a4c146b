/** Whoever an event happens to. A dead owner's events are skipped; a suspended one takes them in with `defer`. */
export interface Owner {
  /** For the trace: stable over runs, small. */
  readonly id: number;
  readonly state: 'running' | 'suspended' | 'dead';
  defer?(run: () => void): void;
}

/** Something that will happen once at a virtual microsecond. */
export interface Event {
  readonly at: number;
  readonly seq: number;
  readonly owner: Owner;
  /** Absent once it was cancelled. */
  run: (() => void) | undefined;
}

/** What is still to happen, earliest first; ties break by the order of scheduling, never by chance. A binary heap. */
export class EventHeap {
  private readonly events: Event[] = [];

  get size(): number {
    return this.events.length;
  }

  peek(): Event | undefined {
    return this.events[0];
  }

  push(event: Event): void {
    const { events } = this;
    let index = events.length;
    events.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = events[parent] as Event;
      if (before(above, event)) break;
      events[index] = above;
      index = parent;
    }
    events[index] = event;
  }

  pop(): Event | undefined {
    const { events } = this;
    const first = events[0];
    const last = events.pop();
    if (first === undefined || last === undefined || events.length === 0) return first;
    const size = events.length;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= size) break;
      if (child + 1 < size && before(events[child + 1] as Event, events[child] as Event)) child++;
      const below = events[child] as Event;
      if (before(last, below)) break;
      events[index] = below;
      index = child;
    }
    events[index] = last;
    return first;
  }
}

function before(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.seq < b.seq);
}
