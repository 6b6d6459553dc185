// The paged cache in 32-bit floats: (block, KV head, keys then values, 16, hd). In keys, the two elements that RoPE turns
// by one angle lie side by side, as in q; the order does not matter to their product.
@group(0) @binding(2) var<storage, read> kv: array<vec4f>;

fn key4(page: u32, offset: u32, i: u32) -> vec4f { return kv[(page * 32 + offset) * HEAD_DIM4 + i]; }
fn value4(page: u32, offset: u32, i: u32) -> vec4f { return kv[(page * 32 + 16 + offset) * HEAD_DIM4 + i]; }
fn keyScale(page: u32, offset: u32) -> f32 { return 1; }
fn valueScale(page: u32, offset: u32) -> f32 { return 1; }
