/**
 * What Node is started with, for every service. Of what hundreds of calls in flight hold, much outlives a collection of the young generation
 * at its default size (16 MiB), and is copied by each: at twice that they are half as many, and find less alive. Worth a sixth of the
 * processor time of a read; costs up to 64 MiB a process under load.
 */
export const NODE_FLAGS = ['--enable-source-maps', '--max-semi-space-size=32', '--min-semi-space-size=32'] as const;
