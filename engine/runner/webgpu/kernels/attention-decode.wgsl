// Attention of one decoding row over its paged cache. A workgroup takes the GROUP query heads that share a KV head
// (so that keys and values are read once for all of them) and SPLIT positions of the context, WG at a time with a
// running maximum (Milakov & Gimelshein 2018). Where a context is longer than SPLIT, several workgroups share it and
// attention-combine adds up their parts (Flash-Decoding, Dao et al. 2023). Where a split begins depends on the
// position alone, so a row's sums do not depend on what it is batched with.
// Scores: an invocation a position. Weighted sum of the values: hd/4 invocations side by side read one position, so
// that reads coalesce; the WG / (hd/4) bands are added last. hd ≤ 4·WG. Grid: (H / GROUP, decodes, splits).
override WG: u32 = 64; // at least 8 · GROUP
override SPLIT: u32; // a multiple of WG

@group(0) @binding(7) var<storage, read_write> partials: array<vec4f>; // (decodes, H, splits, hd/4 + 1): sums, then (maximum, total)

var<workgroup> query: array<vec4f, GROUP * HEAD_DIM4>;
var<workgroup> weights: array<f32, GROUP * WG>;
var<workgroup> peaks: array<f32, GROUP * 8>;
var<workgroup> bands: array<vec4f, GROUP * WG>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3u) {
  let firstHead = group.x * GROUP;
  let row = work[group.y].x;
  let info = rows[step.firstRow + row];
  let begin = group.z * SPLIT;
  if (begin >= info.extent) { return; }
  let end = min(info.extent, begin + SPLIT);
  let kvHead = firstHead / (HEADS / KV_HEADS);
  let at = (row * HEADS + firstHead) * HEAD_DIM4;
  let lane = thread % HEAD_DIM4;
  let band = thread / HEAD_DIM4;
  let bandCount = WG / HEAD_DIM4;
  for (var i = thread; i < GROUP * HEAD_DIM4; i += WG) { query[i] = q[at + i] * SCALE; }
  workgroupBarrier();

  var largest: array<f32, GROUP>;
  var total = array<f32, GROUP>(); // of the positions this invocation scored
  var sum = array<vec4f, GROUP>(); // of the positions this invocation's band weighed
  for (var g = 0u; g < GROUP; g++) { largest[g] = NOTHING; }
  for (var base = begin; base < end; base += WG) {
    let p = base + thread;
    let live = p < end && sees(info, p);
    var score = array<f32, GROUP>();
    if (live) {
      let page = pageOf(info.table, p, kvHead);
      for (var i = 0u; i < HEAD_DIM4; i++) {
        let key = key4(page, p % 16, i);
        for (var g = 0u; g < GROUP; g++) { score[g] += dot(query[g * HEAD_DIM4 + i], key); }
      }
      let by = keyScale(page, p % 16);
      for (var g = 0u; g < GROUP; g++) { score[g] *= by; }
    }
    for (var g = 0u; g < GROUP; g++) { weights[g * WG + thread] = select(NOTHING, score[g], live); }
    workgroupBarrier();
    if (thread < 8 * GROUP) {
      let g = thread / 8;
      var peak = NOTHING;
      for (var i = thread % 8; i < WG; i += 8) { peak = max(peak, weights[g * WG + i]); }
      peaks[thread] = peak;
    }
    workgroupBarrier();
    for (var g = 0u; g < GROUP; g++) {
      var raised = largest[g];
      for (var i = 0u; i < 8; i++) { raised = max(raised, peaks[g * 8 + i]); }
      let shrink = exp(largest[g] - raised);
      let weight = select(0, exp(score[g] - raised), live);
      weights[g * WG + thread] = weight;
      total[g] = total[g] * shrink + weight;
      sum[g] *= shrink;
      largest[g] = raised;
    }
    workgroupBarrier();
    if (band < bandCount) {
      for (var j = band; j < min(WG, end - base); j += bandCount) {
        let page = pageOf(info.table, base + j, kvHead);
        let offset = (base + j) % 16;
        let value = value4(page, offset, lane) * valueScale(page, offset);
        for (var g = 0u; g < GROUP; g++) { sum[g] += weights[g * WG + j] * value; }
      }
    }
    workgroupBarrier();
  }

  for (var g = 0u; g < GROUP; g++) {
    weights[g * WG + thread] = total[g];
    bands[g * WG + thread] = sum[g];
  }
  workgroupBarrier();
  for (var entry = thread; entry < GROUP * HEAD_DIM4; entry += WG) {
    let g = entry / HEAD_DIM4;
    let i = entry % HEAD_DIM4;
    var all = 0.0;
    for (var j = 0u; j < WG; j++) { all += weights[g * WG + j]; }
    var result = vec4f();
    for (var b = 0u; b < bandCount; b++) { result += bands[g * WG + b * HEAD_DIM4 + i]; }
    if (step.splits == 1) {
      out[at + entry] = result / all;
    } else {
      let part = ((group.y * HEADS + firstHead + g) * step.splits + group.z) * (HEAD_DIM4 + 1);
      partials[part + i] = result;
      if (i == 0) { partials[part + HEAD_DIM4] = vec4f(largest[g], all, 0, 0); }
    }
  }
}
