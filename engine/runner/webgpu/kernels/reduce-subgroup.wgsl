enable subgroups;
// Entry point and sum of a workgroup that works together on a few outputs: within each subgroup by its
// own instruction, across subgroups through shared memory with one barrier. Relies on a subgroup being
// consecutive invocations, which holds for workgroups of one dimension on the drivers known; WebGPU has
// no subgroups of fewer than four lanes.
var<workgroup> partial: array<vec4f, VALUES * (WG / 4)>;
var<private> lane: u32;
var<private> lanes: u32;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) thread: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) subgroupLane: u32,
  @builtin(subgroup_size) subgroupSize: u32,
) {
  lane = subgroupLane;
  lanes = subgroupSize;
  together(thread, group, groups);
}

// Sums VALUES vectors over the workgroup; every invocation gets the totals.
fn reduce(values: ptr<function, array<vec4f, VALUES>>, thread: u32) {
  for (var v = 0u; v < VALUES; v++) {
    let sum = subgroupAdd((*values)[v]);
    if (lane == 0) { partial[v * (WG / 4) + thread / lanes] = sum; }
  }
  workgroupBarrier();
  let subgroups = (WG + lanes - 1) / lanes;
  for (var v = 0u; v < VALUES; v++) {
    var total = vec4f();
    for (var s = 0u; s < subgroups; s++) { total += partial[v * (WG / 4) + s]; }
    (*values)[v] = total;
  }
}
