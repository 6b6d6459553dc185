// Writes a pair of a key (head < KV_HEADS) or a value into the cache of kv-f32.wgsl.
@group(0) @binding(7) var<storage, read_write> kv: array<vec2f>;

fn cache(token: u32, slot: u32, head: u32, i: u32, value: vec2f) {
  let page = (slot / 16) * KV_HEADS + head % KV_HEADS;
  kv[(page * 32 + (head / KV_HEADS) * 16 + slot % 16) * (HEAD_DIM / 2) + i] = value;
}
