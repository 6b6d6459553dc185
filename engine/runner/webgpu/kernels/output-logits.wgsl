// Logits of the listed rows alone. y (listed rows, 2·PAIRS); an odd vocabulary leaves the last column unused.
@group(0) @binding(4) var<storage, read> logitRows: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<vec2f>;

fn tokens() -> u32 { return step.logits; }
fn inputRow(token: u32, part: u32) -> u32 { return logitRows[step.firstLogit + token]; }
fn finish(pair: u32, token: u32, value: vec2f) { y[token * PAIRS + pair] = value; }
