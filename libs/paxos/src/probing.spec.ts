import type { Effects } from './effects';
import { Members } from './members';
import { DEFAULT_LIMITS } from './options';
import { Outbox } from './outbox';
import { Probing } from './probing';
import { ballot } from './testing/values';

describe('Probing', () => {
  const outbox = new Outbox();
  const limits = { ...DEFAULT_LIMITS, retransmitTicks: 1, electionTicks: 3 };

  function probing(): Probing {
    const result = new Probing(ballot('1.1'), new Members(1, [1, 2, 3, 4, 5]), limits, outbox);
    outbox.take();
    return result;
  }

  function asked({ sendNow }: Effects): string[] {
    return sendNow.map(({ to, message }) => (message.kind === 'probe' ? `${to}: ${message.ballot.round}` : 'other'));
  }

  it('succeeds on a majority of grants, its own included, each counted once', () => {
    const probe = probing();
    const grant = {
      kind: 'probe-reply',
      ballot: ballot('1.1'),
      granted: true,
      promised: ballot('0.0'),
      chosenThrough: 0,
    } as const;
    probe.reply(2, grant);
    probe.reply(2, grant);
    probe.reply(3, { ...grant, granted: false });
    probe.reply(4, { ...grant, ballot: ballot('9.1') });
    expect(probe.succeeded).toBe(false);
    probe.reply(3, grant);
    expect(probe.succeeded).toBe(true);
  });

  it('asks again those who have not granted, with a ballot above what they promised, then gives up', () => {
    const probe = probing();
    probe.reply(2, {
      kind: 'probe-reply',
      ballot: ballot('1.1'),
      granted: true,
      promised: ballot('0.0'),
      chosenThrough: 0,
    });
    probe.reply(3, {
      kind: 'probe-reply',
      ballot: ballot('1.1'),
      granted: false,
      promised: ballot('6.4'),
      chosenThrough: 0,
    });
    expect(probe.tick()).toBe('repeat');
    expect(asked(outbox.take())).toEqual(['3: 7', '4: 7', '5: 7']);
    probe.tick();
    expect(probe.tick()).toBe('give-up');
  });
});
