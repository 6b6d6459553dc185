// What the three attention kernels share. q (rows, H, hd); keys, values (block, KV head, 16, hd); out (rows, H, hd).
override HEADS: u32;
override KV_HEADS: u32;
override HEAD_DIM4: u32; // hd / 4
override SCALE: f32; // 1 / √hd

@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read> keys: array<vec4f>;
@group(0) @binding(3) var<storage, read> values: array<vec4f>;
@group(0) @binding(4) var<storage, read> rows: array<Row>;
@group(0) @binding(5) var<storage, read> tables: array<u32>;
@group(0) @binding(6) var<storage, read> work: array<vec2u>; // (first row, rows): decodes, then prefill tiles
@group(0) @binding(7) var<storage, read_write> out: array<vec4f>;

const NOTHING = -1e30; // a score below all others, and exp of it zero

// Where the head's vector of a position begins, in vec4s.
fn cached(table: u32, position: u32, kvHead: u32) -> u32 {
  return ((tables[table + position / 16] * KV_HEADS + kvHead) * 16 + position % 16) * HEAD_DIM4;
}
