// SwiGLU (Shazeer 2020) of one expert, times the expert's weight in the token's sum. A pair of matrix rows is
// (gate i, up i). y (assignments, PAIRS).
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn inputRow(token: u32, part: u32) -> u32 {
  let a = assignment(token);
  return select(a / step.experts, 0, a == NONE);
}
fn finish(pair: u32, token: u32, value: vec2f) {
  let a = assignment(token);
  if (a == NONE) { return; }
  y[a * PAIRS + pair] = bitcast<f32>(routes[a].y) * value.x / (1 + exp(-value.x)) * value.y;
}
