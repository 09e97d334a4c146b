import { escapeBytes, table } from './format';

describe('escapeBytes', () => {
  it('keeps printable ASCII and escapes every other byte and the backslash', () => {
    expect(escapeBytes(Buffer.from('a b~'))).toBe('a b~');
    expect(escapeBytes(Buffer.from([0x00, 0x09, 0x5c, 0x7f, 0xff]))).toBe('\\x00\\x09\\x5c\\x7f\\xff');
  });
});

describe('table', () => {
  it('aligns columns to their widest cell', () => {
    expect(
      table([
        ['id', 'leader'],
        ['shard-1', 'n2'],
      ]),
    ).toBe('id       leader\nshard-1  n2\n');
  });
});
