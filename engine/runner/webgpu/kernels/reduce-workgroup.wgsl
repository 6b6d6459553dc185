// Entry point and sum of a workgroup that works together on a few outputs, through shared memory.
// WG is a power of two.
var<workgroup> partial: array<vec4f, VALUES * WG>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) thread: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  together(thread, group, groups);
}

// Sums VALUES vectors over the workgroup, by halves; every invocation gets the totals.
fn reduce(values: ptr<function, array<vec4f, VALUES>>, thread: u32) {
  for (var v = 0u; v < VALUES; v++) { partial[v * WG + thread] = (*values)[v]; }
  workgroupBarrier();
  for (var half = WG / 2; half > 0; half /= 2) {
    if (thread < half) {
      for (var v = 0u; v < VALUES; v++) { partial[v * WG + thread] += partial[v * WG + thread + half]; }
    }
    workgroupBarrier();
  }
  for (var v = 0u; v < VALUES; v++) { (*values)[v] = partial[v * WG]; }
}
