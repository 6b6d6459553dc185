// Biases (Qwen2), rotary embedding (Su et al. 2021) and the write into the paged cache. A pair of matrix rows of q and
// k is the pair (i, i + hd/2) of one head that RoPE turns by position · θ^(−2i/hd), and stays side by side in q and in
// the cache; a pair of v's rows is (2i, 2i + 1). Heads stand in the order q, k, v.
// angles (positions, hd/2) holds (cos, sin): sin() of a large angle is inexact on many GPUs.
// q (rows, H, hd/2) pairs; the cache: cache-*.wgsl.
override HEADS: u32;
override KV_HEADS: u32;
override HEAD_DIM: u32;
override BIAS: bool;

@group(0) @binding(4) var<storage, read> rows: array<Row>;
@group(0) @binding(5) var<storage, read> angles: array<vec2f>;
@group(0) @binding(6) var<storage, read_write> q: array<vec2f>;

fn tokens() -> u32 { return step.rows; }
fn inputRow(token: u32, part: u32) -> u32 { return token; }

fn finish(pair: u32, token: u32, sums: vec2f) {
  let half = HEAD_DIM / 2;
  let head = pair / half;
  let i = pair % half;
  let row = rows[step.firstRow + token];
  var value = sums;
  if (BIAS) {
    let biases = gains[COLS4 + pair / 2];
    value += select(biases.xy, biases.zw, pair % 2 == 1);
  }
  if (head < HEADS + KV_HEADS) {
    let turn = angles[row.position * half + i];
    value = vec2f(value.x * turn.x - value.y * turn.y, value.y * turn.x + value.x * turn.y);
  }
  if (head < HEADS) { q[(token * HEADS + head) * half + i] = value; }
  else { cache(token, row.slot, head - HEADS, i, value); }
}
