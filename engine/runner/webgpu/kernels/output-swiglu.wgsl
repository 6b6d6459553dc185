// SwiGLU (Shazeer 2020): silu(gate) · up. A pair of matrix rows is (gate i, up i). y (rows, PAIRS).
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn tokens() -> u32 { return step.rows; }
fn inputRow(token: u32, part: u32) -> u32 { return token; }
fn finish(pair: u32, token: u32, value: vec2f) {
  y[token * PAIRS + pair] = value.x / (1 + exp(-value.x)) * value.y;
}
