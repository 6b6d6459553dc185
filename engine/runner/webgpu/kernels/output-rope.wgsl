// Rotary embedding (Su et al. 2021) and the write into the paged cache. A pair of matrix rows is the pair
// (i, i + hd/2) of one head that RoPE turns by position · θ^(−2i/hd); heads stand in the order q, k, v.
// angles (positions, hd/2) holds (cos, sin): sin() of a large angle is inexact on many GPUs.
// q (rows, H, hd); keys, values (block, KV head, 16, hd): what one head reads of a block is contiguous.
override HEADS: u32;
override KV_HEADS: u32;
override HEAD_DIM: u32;

@group(0) @binding(4) var<storage, read> rows: array<Row>;
@group(0) @binding(5) var<storage, read> angles: array<vec2f>;
@group(0) @binding(6) var<storage, read_write> q: array<f32>;
@group(0) @binding(7) var<storage, read_write> keys: array<f32>;
@group(0) @binding(8) var<storage, read_write> values: array<f32>;

fn tokens() -> u32 { return step.rows; }
fn inputRow(token: u32) -> u32 { return token; }

fn finish(pair: u32, token: u32, value: vec2f) {
  let half = HEAD_DIM / 2;
  let head = pair / half;
  let i = pair % half;
  let row = rows[step.firstRow + token];
  let turn = angles[row.position * half + i];
  let turned = vec2f(value.x * turn.x - value.y * turn.y, value.y * turn.x + value.x * turn.y);
  if (head < HEADS) {
    let at = (token * HEADS + head) * HEAD_DIM + i;
    q[at] = turned.x;
    q[at + half] = turned.y;
  } else if (head < HEADS + KV_HEADS) {
    let at = cached(row.slot, head - HEADS) + i;
    keys[at] = turned.x;
    keys[at + half] = turned.y;
  } else {
    let at = cached(row.slot, head - HEADS - KV_HEADS) + i;
    values[at] = value.x;
    values[at + half] = value.y;
  }
}

fn cached(slot: u32, kvHead: u32) -> u32 {
  return (((slot / 16) * KV_HEADS + kvHead) * 16 + slot % 16) * HEAD_DIM;
}
