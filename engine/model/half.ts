/** IEEE 754 half precision → single, exactly. */
export function halfToFloat(half: Uint16Array): Float32Array {
  const out = new Float32Array(half.length)
  const table = halfTable()
  for (let i = 0; i < half.length; i++) out[i] = table[half[i]!]!
  return out
}

let halves: Float32Array | undefined

function halfTable(): Float32Array {
  if (halves) return halves
  halves = new Float32Array(65536)
  for (let h = 0; h < 65536; h++) {
    const sign = h & 0x8000 ? -1 : 1
    const exponent = (h >> 10) & 31
    const fraction = h & 1023
    if (exponent === 0) halves[h] = sign * fraction * 2 ** -24
    else if (exponent === 31) halves[h] = fraction ? NaN : sign * Infinity
    else halves[h] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
  }
  return halves
}

/** Single → half precision, to the nearest, ties to even; from 65,520 on infinite. */
export function floatToHalf(values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length)
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  for (let i = 0; i < out.length; i++) out[i] = halfBits(bits[i]!)
  return out
}

function halfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000
  const rest = bits & 0x7fffffff
  if (rest > 0x7f800000) return sign | 0x7e00
  if (rest >= 0x477ff000) return sign | 0x7c00
  // Below 2^-14 the step is 2^-24, whatever the exponent.
  const exponent = rest < 0x38800000 ? Math.max(0, 113 - (rest >>> 23)) : 0
  if (exponent > 11) return sign
  const fraction = exponent > 0 ? (rest & 0x7fffff) | 0x800000 : rest - 0x38000000
  const shift = 13 + exponent
  const kept = fraction >>> shift
  const dropped = fraction & ((1 << shift) - 1)
  const tie = 1 << (shift - 1)
  return sign | (dropped > tie || (dropped === tie && kept & 1) ? kept + 1 : kept)
}

/** The smallest half that is not below a positive number, as a number. */
export function halfAbove(value: number): number {
  const half = floatToHalf(Float32Array.of(value))
  const near = halfToFloat(half)[0]!
  return near >= value ? near : halfToFloat(Uint16Array.of(half[0]! + 1))[0]!
}

/** The largest half that is not above a number. */
export function halfBelow(value: number): number {
  const half = floatToHalf(Float32Array.of(value))
  const near = halfToFloat(half)[0]!
  if (near <= value) return near
  // Halves of one sign are ordered as their bits are; below zero that is away from zero.
  return value >= 0 ? halfToFloat(Uint16Array.of(half[0]! - 1))[0]! : -halfAbove(-value)
}

/** bfloat16 is the upper half of a single. */
export function brainToFloat(brain: Uint16Array): Float32Array {
  const out = new Float32Array(brain.length)
  const bits = new Uint32Array(out.buffer)
  for (let i = 0; i < brain.length; i++) bits[i] = brain[i]! << 16
  return out
}
