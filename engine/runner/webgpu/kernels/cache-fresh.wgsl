// Keeps a pair of a key (head < KV_HEADS) or a value aside, to be quantized when its vector is whole:
// (rows, keys then values, KV heads, hd/2) pairs.
@group(0) @binding(7) var<storage, read_write> fresh: array<vec2f>;

fn cache(token: u32, slot: u32, head: u32, i: u32, value: vec2f) {
  fresh[(token * 2 * KV_HEADS + head) * (HEAD_DIM / 2) + i] = value;
}
