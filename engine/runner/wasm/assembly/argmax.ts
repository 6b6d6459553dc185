/** Index of the largest of `count` floats, the first of equals. What follows up to a multiple of four is not looked at. */
export function argmax(row: usize, count: u32): u32 {
  const end = row + count * 4
  const whole = row + (count & ~3) * 4
  let top = f32x4.splat(-Infinity)
  for (let p = row; p < whole; p += 16) top = f32x4.pmax(top, v128.load(p))
  let most = max(
    max(f32x4.extract_lane(top, 0), f32x4.extract_lane(top, 1)),
    max(f32x4.extract_lane(top, 2), f32x4.extract_lane(top, 3)))
  for (let p = whole; p < end; p += 4) most = max(most, load<f32>(p))
  const wanted = f32x4.splat(most)
  let p = row
  while (p < whole && !v128.any_true(f32x4.eq(v128.load(p), wanted))) p += 16
  while (p < end && load<f32>(p) != most) p += 4
  return p < end ? (p - row) / 4 : 0
}
