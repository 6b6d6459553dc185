// Attention of one decoding row and one head a workgroup, over its paged cache, WG positions at a time with a
// running maximum (Milakov & Gimelshein 2018). Scores: an invocation a position. Weighted sum of the values:
// hd/4 invocations side by side read one position, so that reads coalesce; the WG / (hd/4) bands are added last.
// hd ≤ 4·WG. Grid: (H, decodes).
override WG: u32 = 64;

var<workgroup> query: array<vec4f, HEAD_DIM4>;
var<workgroup> weights: array<f32, WG>;
var<workgroup> peaks: array<f32, 8>;
var<workgroup> bands: array<vec4f, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3u) {
  let head = group.x;
  let row = work[group.y].x;
  let info = rows[step.firstRow + row];
  let context = info.position + 1;
  let kvHead = head / (HEADS / KV_HEADS);
  let at = (row * HEADS + head) * HEAD_DIM4;
  let lane = thread % HEAD_DIM4;
  let band = thread / HEAD_DIM4;
  let bandCount = WG / HEAD_DIM4;
  for (var i = thread; i < HEAD_DIM4; i += WG) { query[i] = q[at + i] * SCALE; }
  workgroupBarrier();

  var largest = NOTHING;
  var total = 0.0; // of the positions this invocation scored
  var sum = vec4f(); // of the positions this invocation's band weighed
  for (var base = 0u; base < context; base += WG) {
    let p = base + thread;
    var score = NOTHING;
    if (p < context) {
      let start = cached(info.table, p, kvHead);
      var products = vec4f();
      for (var i = 0u; i < HEAD_DIM4; i++) { products += query[i] * keys[start + i]; }
      score = dot(products, vec4f(1));
    }
    weights[thread] = score;
    workgroupBarrier();
    if (thread < 8) {
      var peak = NOTHING;
      for (var i = thread; i < WG; i += 8) { peak = max(peak, weights[i]); }
      peaks[thread] = peak;
    }
    workgroupBarrier();
    var raised = largest;
    for (var i = 0u; i < 8; i++) { raised = max(raised, peaks[i]); }
    let shrink = exp(largest - raised);
    let weight = select(0, exp(score - raised), p < context);
    weights[thread] = weight;
    total = total * shrink + weight;
    sum *= shrink;
    largest = raised;
    workgroupBarrier();
    if (band < bandCount) {
      for (var j = band; j < min(WG, context - base); j += bandCount) {
        sum += weights[j] * values[cached(info.table, base + j, kvHead) + lane];
      }
    }
    workgroupBarrier();
  }

  weights[thread] = total;
  bands[thread] = sum;
  workgroupBarrier();
  if (thread < HEAD_DIM4) {
    var all = 0.0;
    for (var i = 0u; i < WG; i++) { all += weights[i]; }
    var result = vec4f();
    for (var b = 0u; b < bandCount; b++) { result += bands[b * HEAD_DIM4 + thread]; }
    out[at + thread] = result / all;
  }
}
