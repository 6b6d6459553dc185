// Adds the matmul's result to the residual stream. y (rows, 2·PAIRS).
@group(0) @binding(3) var<storage, read_write> y: array<vec2f>;

fn tokens() -> u32 { return step.rows; }
fn inputRow(token: u32, part: u32) -> u32 { return token * parts() + part; }
fn finish(pair: u32, token: u32, value: vec2f) { y[token * PAIRS + pair] += value; }
