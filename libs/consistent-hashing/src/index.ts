// From a key to its shard: part of the disk and client contract.
export { hashTag, isShardCount, shardOf, shardOfSlot, SLOT_COUNT, SLOT_HASH, slotOf, slotsOf } from './slot';
export { murmur3 } from './murmur3';
// From a shard to its nodes: the planner's business.
export { NotEnoughNodesError, Ring, tokenOfShard, VNODES_PER_WEIGHT, type RingNode } from './ring';
export { loadBounds, type LoadBounds } from './load';
export { planPlacement, type Move, type PlacementPlan, type PlanRequest } from './plan';
export { spreadLeaders } from './leaders';
