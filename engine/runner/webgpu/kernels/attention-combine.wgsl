// Adds up the parts of the decodes' attention, one (row, head) a workgroup, hd/4 invocations of which work.
// Bindings as attention-decode; partials (decodes, H, splits, hd/4 + 1): sums, then (maximum, total). Grid: (H, decodes).
override WG: u32 = 32;
override SPLIT: u32;

@group(0) @binding(7) var<storage, read_write> partials: array<vec4f>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3u) {
  let row = work[group.y].x;
  let parts = (rows[step.firstRow + row].extent + SPLIT - 1) / SPLIT;
  let first = (group.y * HEADS + group.x) * step.splits * (HEAD_DIM4 + 1);
  var largest = NOTHING;
  for (var s = 0u; s < parts; s++) { largest = max(largest, partials[first + s * (HEAD_DIM4 + 1) + HEAD_DIM4].x); }
  for (var i = thread; i < HEAD_DIM4; i += WG) {
    var total = 0.0;
    var sum = vec4f();
    for (var s = 0u; s < parts; s++) {
      let part = first + s * (HEAD_DIM4 + 1);
      let end = partials[part + HEAD_DIM4];
      let by = exp(end.x - largest);
      total += by * end.y;
      sum += by * partials[part + i];
    }
    out[(row * HEADS + group.x) * HEAD_DIM4 + i] = sum / total;
  }
}
