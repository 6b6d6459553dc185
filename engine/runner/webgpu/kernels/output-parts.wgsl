// Keeps each assignment's output by itself, to be summed by experts-gather. y (assignments, 2·PAIRS).
@group(0) @binding(3) var<storage, read_write> y: array<vec2f>;

fn inputRow(token: u32, part: u32) -> u32 {
  let a = assignment(token);
  return select(a, 0, a == NONE);
}
fn finish(pair: u32, token: u32, value: vec2f) {
  let a = assignment(token);
  if (a != NONE) { y[a * PAIRS + pair] = value; }
}
