import { formatBallot } from '../ballot';
import { changeIn, type Configuration } from '../configuration';
import type { Delivery, Effects } from '../effects';
import { isFenced, stampOf } from '../fence';
import type { Envelope, Message, Released, Value } from '../messages';
import type { ReplicaRecord } from '../records';

/** A value as traces write it: its commands as text, `no-op` for none, and behind `@` the ballot that it names. */
export function formatValue(value: Value): string {
  const change = changeIn(value);
  if (change !== undefined) return formatConfiguration(change);
  const stamp = stampOf(value);
  if (stamp !== undefined) return `${formatValue(value.slice(1))}@${formatBallot(stamp)}`;
  return value.length === 0 ? 'no-op' : value.map((command) => Buffer.from(command).toString()).join('+');
}

function formatDelivery({ instance, value, term }: Delivery): string {
  return `${instance}=${formatValue(value)}${isFenced(value, term) ? ' fenced' : ''}`;
}

/** `members-2(1,2,3,4?)`: version 2, of which 4 learns. */
export function formatConfiguration({ version, members }: Configuration): string {
  return `members-${version}(${members.map(({ replicaId, learner }) => `${replicaId}${learner ? '?' : ''}`).join()})`;
}

export function formatMessage(message: Message): string {
  const { kind } = message;
  switch (message.kind) {
    case 'probe':
      return `probe ${formatBallot(message.ballot)}`;
    case 'probe-reply': {
      const answer = message.granted ? 'granted' : 'refused';
      return `probe-reply ${formatBallot(message.ballot)} ${answer} promised=${formatBallot(message.promised)} chosen=${message.chosenThrough}`;
    }
    case 'prepare':
      return `prepare ${formatBallot(message.ballot)} from=${message.firstInstance}${formatReleased(message.released)}`;
    case 'promise': {
      const votes = message.votes.map(
        ({ instance, ballot, value }) => `${instance}: ${formatBallot(ballot)} ${formatValue(value)}`,
      );
      const page = message.page === 0 && message.last ? '' : ` page=${message.page}${message.last ? ' last' : ''}`;
      return `promise ${formatBallot(message.ballot)}${page} votes=(${votes.join(', ')}) chosen=${message.chosenThrough}`;
    }
    case 'nack':
      return `nack ${formatBallot(message.ballot)} promised=${formatBallot(message.promised)}`;
    case 'accept': {
      const { ballot, instance, value, chosenThrough } = message;
      return `accept ${formatBallot(ballot)} ${instance}=${formatValue(value)} chosen=${chosenThrough}`;
    }
    case 'accepted':
      return `accepted ${formatBallot(message.ballot)} ${message.instance} chosen=${message.chosenThrough}`;
    case 'chosen':
    case 'chosen-reply':
      return `${kind} ${formatBallot(message.ballot)} through=${message.chosenThrough}`;
    case 'confirm':
    case 'confirmed': {
      const hold = message.kind === 'confirm' ? message.holdUs : message.held && 'yes';
      return `${kind} ${formatBallot(message.ballot)} round=${message.round}${hold === undefined ? '' : ` hold=${hold}`}`;
    }
    case 'take-over':
      return `take-over ${formatBallot(message.ballot)}${message.round === undefined ? '' : ` released=${message.round}`}`;
    case 'catch-up':
      return `catch-up from=${message.firstInstance}`;
    case 'catch-up-reply': {
      const entries = message.entries.map(({ instance, value }) => `${instance}=${formatValue(value)}`);
      return `catch-up-reply (${entries.join(', ')}) chosen=${message.chosenThrough}`;
    }
    case 'needs-snapshot':
      return `needs-snapshot truncated=${message.truncatedThrough}`;
  }
}

function formatReleased(released: Released | undefined): string {
  return released === undefined ? '' : ` released=${formatBallot(released.ballot)}/${released.round}`;
}

export function formatRecord(record: ReplicaRecord): string {
  switch (record.kind) {
    case 'promised':
      return `promised ${formatBallot(record.ballot)}`;
    case 'voted':
      return `voted ${formatBallot(record.ballot)} ${record.instance}=${formatValue(record.value)}`;
    case 'learned':
      return `learned ${record.instance}=${formatValue(record.value)}`;
    case 'granted':
      return `granted hold=${record.holdUs}`;
    case 'truncated':
      return `truncated through=${record.through}`;
    case 'kept':
      return `kept ${formatBallot(record.ballot)} ${record.instance}=${formatValue(record.value)}`;
  }
}

/** One message to several members is one line. */
function formatEnvelopes(who: string, envelopes: readonly Envelope[]): string[] {
  const recipients = new Map<string, string[]>();
  for (const { to, message } of envelopes) {
    const text = formatMessage(message);
    recipients.set(text, [...(recipients.get(text) ?? []), `r${to}`]);
  }
  return [...recipients].map(([text, to]) => `${`${who} -> ${to.join(' ')}`.padEnd(16)}${text}`);
}

/**
 * Every effect of a step, a line each, in the order in which the host brings them about: what is sent at once, what is persisted, what
 * is sent after that, what is delivered and answered.
 * @param nameOf what a token is called
 */
export function formatEffects(who: string, effects: Effects, nameOf: (token: number) => string): string[] {
  const line = (verb: string, text: string): string => `${`${who} ${verb}`.padEnd(16)}${text}`;
  return [
    ...formatEnvelopes(who, effects.sendNow),
    ...effects.persist.map((record) => line('persist', formatRecord(record))),
    ...formatEnvelopes(who, effects.send),
    ...effects.chosen.map((delivery) => line('chosen', formatDelivery(delivery))),
    ...effects.settled.map((settled) => {
      const where = 'instance' in settled ? ` ${settled.instance}` : '';
      const until =
        'leasedUntilUs' in settled && settled.leasedUntilUs !== undefined ? ` until=${settled.leasedUntilUs}` : '';
      return line('settled', `${nameOf(settled.token)} ${settled.outcome}${where}${until}`);
    }),
    ...effects.needsSnapshot.map((from) => line('needs', `snapshot from r${from}`)),
    ...effects.reached.map((name) => line('reached', name)),
  ];
}
