import { runSeed } from './run-seed';

/** A child of the campaign: runs each seed it is sent, and sends back what came of it. */
process.on('message', (seed: number) => {
  void runSeed({ seed }).then((result) => process.send?.(result));
});
// The campaign is gone, however it went.
process.on('disconnect', () => process.exit());
