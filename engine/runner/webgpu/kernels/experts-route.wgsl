// The router of a mixture (Mixtral, Jiang et al. 2024): RMSNorm, a score for each expert, the best step.experts of them
// (of equals the earlier one), and the softmax of their scores alone. One token a workgroup; LANES invocations share
// an expert's score. router (E, d); routes (assignments): expert, weight as bits. Also noted: which experts were
// touched, a bit each, and who was chosen, for the host to read. Grid: rows.
override WG: u32 = 64;
override EXPERTS: u32;
override COLS4: u32;
override EPSILON: f32;
override CHOSEN: u32; // where in `seen` the choices begin
const LANES = 8u;

@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> gains: array<vec4f>;
@group(0) @binding(3) var<storage, read> router: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> routes: array<vec2u>;
@group(0) @binding(5) var<storage, read_write> seen: array<atomic<u32>>; // of this layer: marks, then choices

var<workgroup> partial: array<vec2f, WG>; // (share of a score, share of the squares)
var<workgroup> scores: array<f32, EXPERTS>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3u) {
  let token = group.x;
  let lane = thread % LANES;
  for (var first = 0u; first < EXPERTS; first += WG / LANES) {
    let expert = first + thread / LANES;
    var sum = vec2f();
    if (expert < EXPERTS) {
      for (var i = lane; i < COLS4; i += LANES) {
        let raw = x[token * COLS4 + i];
        sum += vec2f(dot(router[expert * COLS4 + i], raw * gains[i]), dot(raw, raw));
      }
    }
    partial[thread] = sum;
    workgroupBarrier();
    if (lane == 0 && expert < EXPERTS) {
      for (var l = 1u; l < LANES; l++) { sum += partial[thread + l]; }
      scores[expert] = sum.x / sqrt(sum.y / f32(4 * COLS4) + EPSILON);
    }
    workgroupBarrier();
  }
  if (thread > 0) { return; }
  let at = token * step.experts;
  var largest = 0.0;
  var total = 0.0;
  for (var k = 0u; k < step.experts; k++) {
    var best = 0u;
    for (var e = 1u; e < EXPERTS; e++) { if (scores[e] > scores[best]) { best = e; } }
    if (k == 0) { largest = scores[best]; }
    let weight = exp(scores[best] - largest);
    total += weight;
    routes[at + k] = vec2u(best, bitcast<u32>(weight));
    scores[best] = -3e38; // taken
    atomicOr(&seen[step.touched + best / 32], 1u << (best % 32));
    atomicStore(&seen[CHOSEN + (step.firstRow + token) * step.experts + k], best);
  }
  for (var k = 0u; k < step.experts; k++) { routes[at + k].y = bitcast<u32>(bitcast<f32>(routes[at + k].y) / total); }
}
