import type { Draws } from './draw';
import type { Owner } from './event-heap';
import type { World } from './world';

/** Something that a blocked link keeps until it is open again. */
interface Held {
  readonly owner: Owner;
  readonly run: () => void;
}

/** One direction between two machines: how long things take, and whether they get through. */
export class Link {
  readonly draws: Draws;
  private readonly delayMinUs: number;
  private readonly delayMeanUs: number;
  private cuts = 0;
  private clogs = 0;
  private held: Held[] = [];

  constructor(
    private readonly world: World,
    readonly from: string,
    readonly to: string,
  ) {
    this.draws = world.draws('net', `${from}>${to}`);
    const { delayMinUsMax, delayMeanUsMax } = world.shape.network;
    const self = from === to;
    this.delayMinUs = self ? 10 : 1 + this.draws.below(delayMinUsMax + 1);
    this.delayMeanUs = self ? 20 : this.draws.below(delayMeanUsMax + 1);
  }

  /** Nothing gets through, and what is sent is lost, or kept by those who send again. */
  get cut(): boolean {
    return this.cuts > 0;
  }

  /** Nothing gets through for now. */
  get blocked(): boolean {
    return this.cuts > 0 || this.clogs > 0;
  }

  drawDelayUs(): number {
    return this.delayMinUs + this.draws.exponential(this.delayMeanUs);
  }

  /** Lets something arrive after a drawn delay. `run` asks `holds` first. */
  carry(owner: Owner, run: () => void): void {
    this.world.schedule(this.drawDelayUs(), owner, run);
  }

  /** Called on arrival: true if the link is blocked, and then `run` is called again when it no longer is. */
  holds(owner: Owner, run: () => void): boolean {
    if (!this.blocked) return false;
    this.held.push({ owner, run });
    return true;
  }

  addCut(): void {
    this.cuts++;
  }

  removeCut(): void {
    if (this.cuts > 0) this.cuts--;
    this.release();
  }

  addClog(): void {
    this.clogs++;
  }

  removeClog(): void {
    if (this.clogs > 0) this.clogs--;
    this.release();
  }

  /** Ends every cut and clog, however many overlap. */
  clear(): void {
    this.cuts = 0;
    this.clogs = 0;
    this.release();
  }

  private release(): void {
    if (this.blocked) return;
    const waiting = this.held;
    this.held = [];
    for (const { owner, run } of waiting) this.carry(owner, run);
  }
}
