// Copies keys and values from slot to slot, in the order of the list. Each invocation moves the same word of every
// slot, one copy after the other, so that a copy may read what an earlier one wrote.
// kv (block · KV head, PAGE) words: for each head the keys (16, WORDS), the values (16, WORDS) and, in int8, their 32
// scales. Grid: ceil(KV heads · 2 · PER_SLOT / WG), PER_SLOT words of a slot with its scale.
override WG: u32 = 64;
override KV_HEADS: u32;
override WORDS: u32; // of a vector
override SCALED: u32; // 1 where a scale goes with it

@group(0) @binding(1) var<storage, read> copies: array<vec2u>; // (from, to)
@group(0) @binding(2) var<storage, read_write> kv: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let perSlot = WORDS + SCALED;
  if (id.x >= KV_HEADS * 2 * perSlot) { return; }
  let word = id.x % perSlot;
  let which = (id.x / perSlot) % 2; // keys or values
  let head = id.x / perSlot / 2;
  for (var c = 0u; c < step.copies; c++) { kv[at(copies[c].y, head, which, word)] = kv[at(copies[c].x, head, which, word)]; }
}

fn at(slot: u32, head: u32, which: u32, word: u32) -> u32 {
  let page = ((slot / 16) * KV_HEADS + head) * 32 * (WORDS + SCALED);
  let vector = which * 16 + slot % 16;
  return page + select(vector * WORDS + word, 32 * WORDS + vector, word == WORDS);
}
