// Attention for one (row, head) an invocation, with a running maximum: no barriers, for software adapters.
// Prefill rows and decodes alike. hd ≤ 128. Grid: ceil(rows · H / WG).
override WG: u32 = 4;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x / HEADS;
  if (row >= step.rows) { return; }
  let head = id.x % HEADS;
  let kvHead = head / (HEADS / KV_HEADS);
  let info = rows[step.firstRow + row];
  let at = (row * HEADS + head) * HEAD_DIM4;
  var sums = array<vec4f, 32>();
  var largest = NOTHING;
  var total = 0.0;
  for (var p = 0u; p < info.extent; p++) {
    if (!sees(info, p)) { continue; }
    let page = pageOf(info.table, p, kvHead);
    let offset = p % 16;
    var products = vec4f();
    for (var i = 0u; i < HEAD_DIM4; i++) { products += q[at + i] * key4(page, offset, i); }
    let score = dot(products, vec4f(1)) * SCALE * keyScale(page, offset);
    if (score > largest) {
      let shrink = exp(largest - score);
      total *= shrink;
      for (var i = 0u; i < HEAD_DIM4; i++) { sums[i] *= shrink; }
      largest = score;
    }
    let weight = exp(score - largest);
    total += weight;
    let scaled = weight * valueScale(page, offset);
    for (var i = 0u; i < HEAD_DIM4; i++) { sums[i] += scaled * value4(page, offset, i); }
  }
  for (var i = 0u; i < HEAD_DIM4; i++) { out[at + i] = sums[i] / total; }
}
