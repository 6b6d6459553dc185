// What the attention kernels share. q (rows, H, hd); out (rows, H, hd); the cache: kv-*.wgsl.
override HEADS: u32;
override KV_HEADS: u32;
override HEAD_DIM4: u32; // hd / 4
override SCALE: f32; // 1 / √hd

@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(3) var<storage, read> rows: array<Row>;
@group(0) @binding(4) var<storage, read> tables: array<u32>; // block tables, then masks
@group(0) @binding(5) var<storage, read> work: array<vec2u>; // (first row, rows): decodes, then prefill tiles
@group(0) @binding(6) var<storage, read_write> out: array<vec4f>;

const NOTHING = -1e30; // a score below all others, and exp of it zero

// Where a position's block of a head lies, in blocks of a head.
fn pageOf(table: u32, position: u32, kvHead: u32) -> u32 {
  return tables[table + position / 16] * KV_HEADS + kvHead;
}

// Whether the row looks at a position.
fn sees(row: Row, position: u32) -> bool {
  if (position < row.context) { return true; }
  if (position >= row.extent) { return false; }
  let i = position - row.context;
  return ((tables[row.mask + i / 32] >> (i % 32)) & 1) == 1;
}
