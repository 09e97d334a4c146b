import type { KeyValue, DeleteRangeRequest } from './requests';
import { aliveIn } from './range';
import { RESERVED } from './reserved';
import type { DeleteRangeResult } from './results';
import type { RevisionWriter } from './revision-writer';
import { spanOf, subtract } from './span';

/** Deletes every key of a range. Finding none changes nothing. */
export function deleteRange(writer: RevisionWriter, request: DeleteRangeRequest): DeleteRangeResult {
  const { keySpace, transaction, revision } = writer;
  const whole = spanOf(request.key, request.rangeEnd);
  const spans = request.spareReserved ? subtract(whole, RESERVED) : [whole];
  // Gathered first: the store is not changed under a walk.
  const doomed = spans.flatMap((span) => [...aliveIn(keySpace, transaction, span, revision, revision)]);
  const previous: KeyValue[] = [];
  for (const { key, latest } of doomed) {
    const entry = request.previous ? writer.entry(key) : undefined;
    if (entry !== undefined) previous.push(entry);
    writer.remove(key, latest);
  }
  return { kind: 'delete-range', revision: writer.revision, deleted: BigInt(doomed.length), previous };
}
