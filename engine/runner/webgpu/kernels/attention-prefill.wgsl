// Attention of up to 16 consecutive rows of one chunk and one head a workgroup (FlashAttention, Dao et al. 2022):
// the queries stay in shared memory, the cache passes through it a block of 16 positions at a time.
// 256 invocations: each one score of the 16 × 16; then hd/4 of them a row weigh the values. hd ≤ 128.
// Grid: (H, tiles).
const SIDE = 16u;
const WG = 256u;

var<workgroup> queries: array<vec4f, SIDE * HEAD_DIM4>;
var<workgroup> block: array<vec4f, SIDE * HEAD_DIM4>; // a block's keys, then its values
var<workgroup> weights: array<f32, SIDE * SIDE>;
var<workgroup> largest: array<f32, SIDE>;
var<workgroup> total: array<f32, SIDE>;
var<workgroup> shrink: array<f32, SIDE>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3u) {
  let head = group.x;
  let tile = work[step.firstTile + group.y]; // (first row, rows)
  let table = rows[step.firstRow + tile.x].table;
  let extent = rows[step.firstRow + tile.x + tile.y - 1].extent; // the last row looks furthest
  let kvHead = head / (HEADS / KV_HEADS);
  let size = SIDE * HEAD_DIM4;
  for (var i = thread; i < size; i += WG) {
    let r = min(i / HEAD_DIM4, tile.y - 1); // rows past the tile's end repeat its last one and are dropped
    queries[i] = q[((tile.x + r) * HEADS + head) * HEAD_DIM4 + i % HEAD_DIM4] * SCALE;
  }
  if (thread < SIDE) {
    largest[thread] = NOTHING;
    total[thread] = 0;
  }
  var sum0 = vec4f(); // entries thread and thread + WG of the (16, hd/4) result
  var sum1 = vec4f();
  let row = thread / SIDE;
  let column = thread % SIDE;
  let info = rows[step.firstRow + tile.x + min(row, tile.y - 1)];

  for (var base = 0u; base < extent; base += SIDE) {
    let at = pageOf(table, base, kvHead);
    for (var i = thread; i < size; i += WG) { block[i] = key4(at, i / HEAD_DIM4, i % HEAD_DIM4) * keyScale(at, i / HEAD_DIM4); }
    workgroupBarrier();
    var products = vec4f();
    for (var i = 0u; i < HEAD_DIM4; i++) { products += queries[row * HEAD_DIM4 + i] * block[column * HEAD_DIM4 + i]; }
    let seen = sees(info, base + column);
    let score = select(NOTHING, dot(products, vec4f(1)), seen);
    weights[thread] = score;
    workgroupBarrier();
    for (var i = thread; i < size; i += WG) { block[i] = value4(at, i / HEAD_DIM4, i % HEAD_DIM4) * valueScale(at, i / HEAD_DIM4); }
    if (thread < SIDE) {
      var raised = largest[thread];
      for (var i = 0u; i < SIDE; i++) { raised = max(raised, weights[thread * SIDE + i]); }
      shrink[thread] = exp(largest[thread] - raised);
      largest[thread] = raised;
    }
    workgroupBarrier();
    weights[thread] = select(0, exp(score - largest[row]), seen);
    workgroupBarrier();
    if (thread < SIDE) {
      var s = total[thread] * shrink[thread];
      for (var i = 0u; i < SIDE; i++) { s += weights[thread * SIDE + i]; }
      total[thread] = s;
    }
    sum0 = weigh(sum0, thread);
    sum1 = weigh(sum1, thread + WG);
    workgroupBarrier();
  }
  store(sum0, thread, head, tile);
  store(sum1, thread + WG, head, tile);
}

fn weigh(sum: vec4f, entry: u32) -> vec4f {
  if (entry >= SIDE * HEAD_DIM4) { return sum; }
  let r = entry / HEAD_DIM4;
  var s = sum * shrink[r];
  for (var i = 0u; i < SIDE; i++) { s += weights[r * SIDE + i] * block[i * HEAD_DIM4 + entry % HEAD_DIM4]; }
  return s;
}

fn store(sum: vec4f, entry: u32, head: u32, tile: vec2u) {
  let r = entry / HEAD_DIM4;
  if (entry >= SIDE * HEAD_DIM4 || r >= tile.y) { return; }
  out[((tile.x + r) * HEADS + head) * HEAD_DIM4 + entry % HEAD_DIM4] = sum / total[r];
}
