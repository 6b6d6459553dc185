/**
 * Rows of inputs in 16 bits for products with 8- and 4-bit weights: x ≈ scale · code, code −32,767 … 32,767, one
 * scale for each group of columns. A rounding of 2⁻¹⁶ of the group's largest: next to nothing beside the weights'.
 * Layout of a row in matmul-int.ts. Units: rows. Strides in bytes.
 */
export function quantizeRows(x: usize, xStride: usize, to: usize, toStride: usize, cols: u32, group: u32, from: u32, end: u32): void {
  const padded = (cols + 31) & ~31
  const groups = (cols + group - 1) / group
  const shift = f32x4.splat(12582912) // rounds to a whole number, which it leaves in the low bits
  for (let t = from; t < end; t++) {
    let p = x + t * xStride
    let q = to + t * toStride
    let scales = q + padded * 2
    for (let col: u32 = 0; col < padded; col += group) {
      const count = min(group, padded - col)
      const last = p + count * 4
      // What stands behind the last column counts for nothing.
      if (col + count > cols) memory.fill(p + (cols - col) * 4, 0, (col + count - cols) * 4)
      let most = f32x4.splat(0)
      for (let i = p; i < last; i += 16) most = f32x4.pmax(most, f32x4.abs(v128.load(i)))
      const largest = max(
        max(f32x4.extract_lane(most, 0), f32x4.extract_lane(most, 1)),
        max(f32x4.extract_lane(most, 2), f32x4.extract_lane(most, 3)))
      const inverse = f32x4.splat(largest > 0 ? <f32>32767 / largest : 0)
      let sums = i32x4.splat(0)
      for (; p < last; p += 32) {
        const a = i32x4.sub(f32x4.add(f32x4.mul(v128.load(p), inverse), shift), shift)
        const b = i32x4.sub(f32x4.add(f32x4.mul(v128.load(p, 16), inverse), shift), shift)
        sums = i32x4.add(sums, i32x4.add(a, b))
        v128.store(q, i16x8.narrow_i32x4_s(a, b))
        q += 16
      }
      store<f32>(scales, largest / 32767)
      store<i32>(scales + groups * 4, i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1) + i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3))
      scales += 4
    }
  }
}
