import { ManualTime } from '@synod/coordination';
import { silentLog, SynodError } from '@synod/runtime';
import { StorePatrol } from './store-patrol';

const SECOND_US = 1_000_000;
const KEY = Buffer.from('k');

describe('the patrol over the pages of a store', () => {
  const looks: (Buffer | undefined)[] = [];
  const found: string[] = [];
  let time: ManualTime;

  beforeEach(() => {
    looks.length = found.length = 0;
    time = new ManualTime();
  });

  function patrol(answer: () => Buffer | undefined): StorePatrol {
    const checkPages = (from: Buffer | undefined): Buffer | undefined => {
      looks.push(from);
      return answer();
    };
    const ports = { timers: time, log: silentLog };
    return new StorePatrol({ checkPages, periodUs: 60 * SECOND_US, found: (harm) => found.push(harm.message), ports });
  }

  it('looks at one stretch after the other, with pauses, and begins anew after a period', async () => {
    const answers = [KEY, undefined];
    const watch = patrol(() => answers.shift());
    await time.advance(10 * SECOND_US);
    expect(looks).toEqual([undefined]);
    await time.advance(SECOND_US);
    expect(looks).toEqual([undefined, KEY]);
    await time.advance(59 * SECOND_US);
    expect(looks).toHaveLength(2);
    await time.advance(SECOND_US);
    expect(looks).toEqual([undefined, KEY, undefined]);
    watch.stop();
    await time.advance(600 * SECOND_US);
    expect(looks).toHaveLength(3);
  });

  it('tells of harm once', async () => {
    patrol(() => {
      throw new SynodError('corrupt', 'page 7 is gone');
    });
    await time.advance(600 * SECOND_US);
    expect(found).toEqual(['page 7 is gone']);
  });

  it('does not take a disk that fails for one that rots, and looks again', async () => {
    const watch = patrol(() => {
      throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
    });
    await time.advance(150 * SECOND_US);
    watch.stop();
    expect(found).toEqual([]);
    expect(looks.length).toBe(3);
  });
});
