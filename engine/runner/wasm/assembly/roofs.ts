import { madd } from './simd'

/** Bytes of a unit of `read`. */
export const READ_UNIT: usize = 1 << 16

/** Reads every byte of units [from, to) once and leaves a word that depends on all of them in `sink`. */
export function read(p: usize, bytes: usize, sink: usize, from: u32, to: u32): void {
  let a = i32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a
  const end = p + min(to * READ_UNIT, bytes)
  p += from * READ_UNIT
  while (p < end) {
    a = v128.xor(a, v128.load(p))
    b = v128.xor(b, v128.load(p, 16))
    c = v128.xor(c, v128.load(p, 32))
    d = v128.xor(d, v128.load(p, 48))
    e = v128.xor(e, v128.load(p, 64))
    f = v128.xor(f, v128.load(p, 80))
    g = v128.xor(g, v128.load(p, 96))
    h = v128.xor(h, v128.load(p, 112))
    p += 128
  }
  v128.store(sink, v128.xor(v128.xor(v128.xor(a, b), v128.xor(c, d)), v128.xor(v128.xor(e, f), v128.xor(g, h))))
}

/** Multiply-adds in registers alone: 24 vectors of four a round, 1,000 rounds a unit. */
export function maddRounds(sink: usize, from: u32, to: u32): void {
  let a = f32x4.splat(1), b = f32x4.splat(2), c = f32x4.splat(3), d = f32x4.splat(4), e = f32x4.splat(5), f = f32x4.splat(6)
  let g = f32x4.splat(7), h = f32x4.splat(8), i = f32x4.splat(9), j = f32x4.splat(10), k = f32x4.splat(11), l = f32x4.splat(12)
  const m = f32x4.splat(0.999), n = f32x4.splat(0.001)
  for (let round = (to - from) * 1000; round; round--) {
    a = madd(a, m, n); b = madd(b, m, n); c = madd(c, m, n); d = madd(d, m, n)
    e = madd(e, m, n); f = madd(f, m, n); g = madd(g, m, n); h = madd(h, m, n)
    i = madd(i, m, n); j = madd(j, m, n); k = madd(k, m, n); l = madd(l, m, n)
    a = madd(a, m, n); b = madd(b, m, n); c = madd(c, m, n); d = madd(d, m, n)
    e = madd(e, m, n); f = madd(f, m, n); g = madd(g, m, n); h = madd(h, m, n)
    i = madd(i, m, n); j = madd(j, m, n); k = madd(k, m, n); l = madd(l, m, n)
  }
  a = f32x4.add(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)), f32x4.add(f32x4.add(e, f), f32x4.add(g, h)))
  v128.store(sink, f32x4.add(a, f32x4.add(f32x4.add(i, j), f32x4.add(k, l))))
}
