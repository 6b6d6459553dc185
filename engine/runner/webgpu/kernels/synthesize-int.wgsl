// Fills a matrix of integers (weights-int8.wgsl, weights-int4.wgsl) with the values of synthetic.wgsl, quantized as
// quantize.ts does, a group of columns an invocation. Grid: ceil(rows · GROUPS / WG), folded into y where too long.
override WG: u32 = 64;
override UNITS: u32; // units of 16 bytes in a row
override BITS: u32; // 8 or 4
override GROUP: u32; // columns that share a scale
override ASYMMETRIC: bool; // int4: with a minimum

@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + id.y * groups.x * WG;
  let perRow = (fill.columns + GROUP - 1) / GROUP;
  if (i >= fill.rows * perRow) { return; }
  let row = i / perRow;
  let first = (i % perRow) * GROUP;
  let end = min(first + GROUP, fill.columns);
  var least = value(row, first);
  var most = least;
  for (var c = first + 1; c < end; c++) {
    let w = value(row, c);
    least = min(least, w);
    most = max(most, w);
  }
  let to = packedRow(row);
  if (BITS == 8) {
    let scale = unpack2x16float(halfAbove(max(-least, most) / 127)).x;
    scales[to * perRow + i % perRow] = bitcast<u32>(scale);
    for (var c = first; c < end; c += 4) {
      var word = 0u;
      for (var j = 0u; j < 4; j++) { word |= (bitcast<u32>(code(row, c + j, 0, scale, -127, 127)) & 255) << (8 * j); }
      out[to * 4 * UNITS + c / 4] = word;
    }
    return;
  }
  var minimum = 0.0;
  var half = 0u;
  if (ASYMMETRIC) {
    half = halfBelow(least);
    minimum = unpack2x16float(half).x;
  }
  let above = halfAbove(select(max(-least, most) / 7, (most - minimum) / 15, ASYMMETRIC));
  let scale = unpack2x16float(above).x;
  if (!ASYMMETRIC) { half = pack2x16float(vec2f(-8 * scale, 0)) & 0xffff; }
  scales[to * perRow + i % perRow] = above | (half << 16);
  for (var unit = first; unit < end; unit += 32) {
    for (var k = 0u; k < 4; k++) {
      var word = 0u;
      for (var j = 0u; j < 4; j++) { word |= (nibble(row, unit + 4 * k + j, minimum, scale) | (nibble(row, unit + 16 + 4 * k + j, minimum, scale) << 4)) << (8 * j); }
      out[to * 4 * UNITS + unit / 8 + k] = word;
    }
  }
}

fn code(row: u32, column: u32, minimum: f32, scale: f32, low: f32, high: f32) -> i32 {
  if (column >= fill.columns || scale == 0) { return 0; }
  return i32(clamp(round((value(row, column) - minimum) / scale), low, high));
}

// As it is stored: symmetric codes as code + 8.
fn nibble(row: u32, column: u32, minimum: f32, scale: f32) -> u32 {
  if (ASYMMETRIC) { return u32(code(row, column, minimum, scale, 0, 15)); }
  return u32(code(row, column, 0, scale, -7, 7) + 8);
}

// The smallest half that is not below a positive number, the largest that is not above any: as bits.
fn halfAbove(x: f32) -> u32 {
  let near = pack2x16float(vec2f(x, 0)) & 0xffff;
  return select(near + 1, near, unpack2x16float(near).x >= x);
}
fn halfBelow(x: f32) -> u32 {
  let near = pack2x16float(vec2f(x, 0)) & 0xffff;
  if (unpack2x16float(near).x <= x) { return near; }
  return select(near + 1, near - 1, x >= 0); // below zero, bits grow away from it
}
