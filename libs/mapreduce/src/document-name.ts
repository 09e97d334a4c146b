const HEX = '0123456789ABCDEF';
/** Tab and newline frame the output's lines, the comma separates documents, the percent sign starts an escape. */
const ESCAPED = [0x09, 0x0a, 0x25, 0x2c];

/** A document's name as an inverted index writes it: tab, newline, comma and percent as `%XX`, everything else as it is. */
export function escapeDocumentName(name: Uint8Array): Uint8Array {
  const extra = name.reduce((count, byte) => (ESCAPED.includes(byte) ? count + 2 : count), 0);
  if (extra === 0) return name;
  const escaped = new Uint8Array(name.length + extra);
  let at = 0;
  for (const byte of name) {
    if (!ESCAPED.includes(byte)) escaped[at++] = byte;
    else {
      escaped[at++] = 0x25;
      escaped[at++] = HEX.charCodeAt(byte >> 4);
      escaped[at++] = HEX.charCodeAt(byte & 15);
    }
  }
  return escaped;
}
