import { isLoopbackPeer } from './client-service';
import { jobSpecOf } from './job-spec';

describe('who may submit', () => {
  it.each([
    ['127.0.0.1:50000', true],
    ['127.8.9.1:1', true],
    ['[::1]:50000', true],
    ['::1:50000', true],
    ['::ffff:127.0.0.1:50000', true],
    ['[::ffff:127.0.0.1]:50000', true],
    ['10.0.0.1:50000', false],
    ['192.168.127.1:50000', false],
    ['[2001:db8::1]:50000', false],
    ['::ffff:10.0.0.1:50000', false],
    ['127.0.0.1.evil.example:1', false],
    ['unknown', false],
    ['', false],
  ])('%s: %s', (peer, allowed) => {
    expect(isLoopbackPeer(peer)).toBe(allowed);
  });
});

describe('a job as it was asked for', () => {
  const spec = {
    program: 'builtIn',
    builtIn: 'BUILT_IN_PROGRAM_WORDCOUNT',
    input: 'files',
    files: { glob: '/in/*' },
    output: '/out/',
    reducers: 0,
    splitBytes: '0',
  } as const;

  it('has its defaults', () => {
    expect(jobSpecOf(spec)).toEqual({
      program: { kind: 'built-in', name: 'wordcount' },
      input: { kind: 'files', glob: '/in/*' },
      output: '/out',
      partitions: undefined,
      splitBytes: 64 * 1024 * 1024,
    });
  });

  it.each([
    [null, 'spec is missing'],
    [{ ...spec, output: 'out' }, 'output "out" is not an absolute path'],
    [{ ...spec, output: '/' }, 'output is the root folder'],
    [{ ...spec, files: { glob: 'in/*' } }, 'files.glob "in/*" is not an absolute path'],
    [{ ...spec, reducers: 5_000 }, 'reducers 5000 is above 4096'],
    [{ ...spec, builtIn: 'BUILT_IN_PROGRAM_UNSPECIFIED' as const }, 'program is missing: built_in or user'],
    [{ ...spec, program: 'user' as const, user: { name: 'x', bundle: Buffer.alloc(0) } }, 'user.bundle is empty'],
    [
      { ...spec, program: 'user' as const, user: { name: 'x', bundle: Buffer.alloc(4_000_000) } },
      'user.bundle has 4000000 bytes, more than 3145728; leave large data out of it',
    ],
  ])('is refused naming the field', (wrong, message) => {
    expect(() => jobSpecOf(wrong)).toThrow(expect.objectContaining({ kind: 'invalid-argument', message }) as Error);
  });
});
