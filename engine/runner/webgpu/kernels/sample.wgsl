// Draws the next token of one row a workgroup and keeps it on the device for the next step.
// Temperature 0: the index of the largest logit, the first of equals. Otherwise the same draw as sampleRow()
// in sampling.ts: u · Σ exp((logit − max) / temperature), taken off in order of the vocabulary until below zero,
// with the same 32-bit u. Sums here are f32 in WG segments where sampleRow adds up in f64, so a draw within
// about 1e-6 of a boundary between two tokens may fall to the neighbour.
// logits (rows, STRIDE) f32; tokens, held: one id each. Grid: samples.
override WG: u32 = 256;
override VOCAB: u32;
override STRIDE: u32;

const NOWHERE = 0xffffffffu;

struct Sample {
  logit: u32, // row of logits
  held: u32, // where the token is kept for its request, or NOWHERE
  position: u32, // of the token being drawn
  seed: u32,
  temperature: f32,
  out: u32, // where the token stands in the result
  unused0: u32,
  unused1: u32,
}

@group(0) @binding(1) var<storage, read> samples: array<Sample>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> held: array<i32>;
@group(0) @binding(4) var<storage, read_write> tokens: array<i32>;

var<workgroup> best: array<f32, WG>;
var<workgroup> bestAt: array<u32, WG>;
var<workgroup> sums: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3u) {
  let s = samples[step.firstSample + group.x];
  let row = s.logit * STRIDE;
  var largest = logits[row + min(thread, VOCAB - 1)];
  var at = min(thread, VOCAB - 1);
  for (var i = thread + WG; i < VOCAB; i += WG) {
    if (logits[row + i] > largest) {
      largest = logits[row + i];
      at = i;
    }
  }
  best[thread] = largest;
  bestAt[thread] = at;
  workgroupBarrier();
  for (var half = WG / 2; half > 0; half /= 2) {
    if (thread < half) {
      let other = best[thread + half];
      let otherAt = bestAt[thread + half];
      if (other > best[thread] || (other == best[thread] && otherAt < bestAt[thread])) {
        best[thread] = other;
        bestAt[thread] = otherAt;
      }
    }
    workgroupBarrier();
  }
  if (s.temperature == 0) {
    if (thread == 0) { keep(s, bestAt[0]); }
    return;
  }

  let segment = (VOCAB + WG - 1) / WG;
  let start = min(thread * segment, VOCAB);
  let to = min(start + segment, VOCAB);
  var sum = 0.0;
  for (var i = start; i < to; i++) { sum += exp((logits[row + i] - best[0]) / s.temperature); }
  sums[thread] = sum;
  workgroupBarrier();
  if (thread == 0) {
    var total = 0.0;
    for (var i = 0u; i < WG; i++) { total += sums[i]; }
    var left = uniformAt(s.seed, s.position) * total;
    var chosen = 0u;
    while (chosen + 1 < WG && left - sums[chosen] >= 0) {
      left -= sums[chosen];
      chosen++;
    }
    var id = min(chosen * segment, VOCAB - 1);
    let end = min(id + segment, VOCAB);
    for (; id < end; id++) {
      left -= exp((logits[row + id] - best[0]) / s.temperature);
      if (left < 0) { break; }
    }
    keep(s, min(id, VOCAB - 1));
  }
}

fn keep(s: Sample, id: u32) {
  if (s.held != NOWHERE) { held[s.held] = i32(id); }
  tokens[s.out] = i32(id);
}

// The u of sampling.ts: exact in f32, since 24 bits are.
fn uniformAt(seed: u32, position: u32) -> f32 {
  return f32(pcg(pcg(seed) + position) >> 8) * 0x1p-24;
}
