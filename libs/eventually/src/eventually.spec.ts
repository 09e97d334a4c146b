import { eventually, succeeds } from '@synod/eventually';

describe('eventually', () => {
  it('looks again until there is something, and returns it', async () => {
    const answers = [undefined, false, 'found'] as const;
    let asked = 0;
    expect(await eventually('an answer', () => answers[asked++])).toBe('found');
    expect(asked).toBe(3);
    // What is found may be nothing much.
    expect(await eventually('a count', async () => 0)).toBe(0);
  });

  it('gives up with the name of what it waited for', async () => {
    await expect(eventually('rain', () => false, 0)).rejects.toThrow('waited 0 s for rain');
  });

  it('passes on what goes wrong', async () => {
    const broken = async (): Promise<boolean> => Promise.reject(new Error('broken'));
    await expect(eventually('rain', broken)).rejects.toThrow('broken');
  });
});

describe('succeeds', () => {
  it('tells whether an attempt came to anything', async () => {
    expect(await succeeds(Promise.resolve('done'))).toBe(true);
    expect(await succeeds(Promise.reject(new Error('broken')))).toBe(false);
  });
});
