// Puts the assignments of a step in an order by expert, so that those of one expert fill whole tiles of
// step.expertTile; a tile's rest is NONE, and so is what lies behind the last. One workgroup.
// routes (assignments): expert, weight; order: step.assignments entries, of which step.rows · step.experts are taken.
override WG: u32 = 64;
override EXPERTS: u32;
const NONE = 0xffffffffu;

@group(0) @binding(1) var<storage, read> routes: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> order: array<u32>;

var<workgroup> next: array<atomic<u32>, EXPERTS>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) thread: u32) {
  let count = step.rows * step.experts;
  for (var i = thread; i < step.assignments; i += WG) { order[i] = NONE; }
  for (var e = thread; e < EXPERTS; e += WG) { atomicStore(&next[e], 0u); }
  workgroupBarrier();
  for (var i = thread; i < count; i += WG) { atomicAdd(&next[routes[i].x], 1u); }
  storageBarrier();
  workgroupBarrier();
  if (thread == 0) {
    var first = 0u;
    for (var e = 0u; e < EXPERTS; e++) {
      let tiles = (atomicLoad(&next[e]) + step.expertTile - 1) / step.expertTile;
      atomicStore(&next[e], first);
      first += tiles * step.expertTile;
    }
  }
  workgroupBarrier();
  for (var i = thread; i < count; i += WG) { order[atomicAdd(&next[routes[i].x], 1u)] = i; }
}
