import { AREAS, type AreaName } from './areas';

/** A child of the campaign: runs each seed it is sent, and sends back what came of it. */
process.on('message', ({ area, seed }: { readonly area: AreaName; readonly seed: number }) => {
  void AREAS[area].runSeed({ seed }).then((result) => process.send?.(result));
});
// The campaign is gone, however it went.
process.on('disconnect', () => process.exit());
