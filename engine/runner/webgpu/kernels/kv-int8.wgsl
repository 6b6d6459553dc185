// The paged cache in 8-bit integers: (block, KV head) each with keys (16, hd), values (16, hd), the 16 scales of the
// keys and the 16 of the values. In keys, the two elements that RoPE turns by one angle lie side by side, as in q.
@group(0) @binding(2) var<storage, read> kv: array<u32>;

fn key4(page: u32, offset: u32, i: u32) -> vec4f { return signed8(kv[page * PAGE + offset * HEAD_DIM4 + i]); }
fn value4(page: u32, offset: u32, i: u32) -> vec4f { return signed8(kv[page * PAGE + (16 + offset) * HEAD_DIM4 + i]); }
fn keyScale(page: u32, offset: u32) -> f32 { return bitcast<f32>(kv[page * PAGE + 32 * HEAD_DIM4 + offset]); }
fn valueScale(page: u32, offset: u32) -> f32 { return bitcast<f32>(kv[page * PAGE + 32 * HEAD_DIM4 + 16 + offset]); }
override PAGE: u32 = 32 * HEAD_DIM4 + 32; // words of a block and KV head
