/** The output file of a partition: `part-00000`. */
export function partName(partition: number): string {
  return `part-${String(partition).padStart(5, '0')}`;
}
