import { BufferAttribute, BufferGeometry, Color, SRGBColorSpace } from 'three'
import type { Rgb } from '../palette'
import type { Vec3 } from '../project'

const scratch = new Color()

/** An sRGB colour in the renderer's linear space. */
export function linear([r, g, b]: Rgb): Rgb {
  scratch.setRGB(r, g, b, SRGBColorSpace)
  return [scratch.r, scratch.g, scratch.b]
}

/** Gathers flat faces, each corner with the number of its paint: what a theme changes is the paints. */
export class Mesher {
  private readonly positions: number[] = []
  private readonly normals: number[] = []
  private readonly uvs: number[] = []
  private readonly paints: number[] = []
  private readonly palette: Map<string, number> = new Map()
  /** What each paint is called. */
  readonly names: string[] = []

  paint(name: string): number {
    let n = this.palette.get(name)
    if (n === undefined) {
      n = this.names.length
      this.palette.set(name, n)
      this.names.push(name)
    }
    return n
  }

  /** A triangle, counter-clockwise seen from outside; one without area is left out. */
  triangle(a: Vec3, b: Vec3, c: Vec3, pa: number, pb = pa, pc = pa, uv: readonly [number, number][] = [[0, 0], [0, 0], [0, 0]]): void {
    const [ux, uy, uz] = [b[0] - a[0], b[1] - a[1], b[2] - a[2]]
    const [vx, vy, vz] = [c[0] - a[0], c[1] - a[1], c[2] - a[2]]
    const n: Vec3 = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx]
    const size = Math.hypot(...n)
    if (size < 1e-9) return
    for (const [i, p] of [a, b, c].entries()) {
      this.positions.push(...p)
      this.normals.push(n[0] / size, n[1] / size, n[2] / size)
      this.uvs.push(...uv[i]!)
    }
    this.paints.push(pa, pb, pc)
  }

  /** Corners in order, counter-clockwise seen from outside. */
  quad(a: Vec3, b: Vec3, c: Vec3, d: Vec3, pa: number, pb = pa, pc = pa, pd = pa): void {
    this.triangle(a, b, c, pa, pb, pc)
    this.triangle(a, c, d, pa, pc, pd)
  }

  geometry(): BufferGeometry {
    const g = new BufferGeometry()
    g.setAttribute('position', new BufferAttribute(new Float32Array(this.positions), 3))
    g.setAttribute('normal', new BufferAttribute(new Float32Array(this.normals), 3))
    g.setAttribute('uv', new BufferAttribute(new Float32Array(this.uvs), 2))
    g.setAttribute('color', new BufferAttribute(new Float32Array(this.positions.length), 3))
    g.userData['paints'] = Uint16Array.from(this.paints)
    g.userData['names'] = this.names
    return g
  }
}

/** Gives a mesher's geometry its colours. */
export function colour(geometry: BufferGeometry, of: (paint: string) => Rgb): void {
  const paints = geometry.userData['paints'] as Uint16Array
  const colours = (geometry.userData['names'] as string[]).map((name) => linear(of(name)))
  const attribute = geometry.getAttribute('color') as BufferAttribute
  const array = attribute.array as Float32Array
  for (let i = 0; i < paints.length; i++) array.set(colours[paints[i]!]!, 3 * i)
  attribute.needsUpdate = true
}

/** A box in a frame: forward f, up u, right r. */
export function frameBox(m: Mesher, at: (f: number, u: number, r: number) => Vec3, [f0, f1]: [number, number], [u0, u1]: [number, number], [r0, r1]: [number, number], paint: number, taper = 0): void {
  const lo = [at(f0, u0, r0), at(f1, u0, r0), at(f1, u0, r1), at(f0, u0, r1)] as const
  const hi = [at(f0 + taper, u1, r0 + taper), at(f1 - taper, u1, r0 + taper), at(f1 - taper, u1, r1 - taper), at(f0 + taper, u1, r1 - taper)] as const
  m.quad(hi[0], hi[3], hi[2], hi[1], paint)
  for (let i = 0; i < 4; i++) m.quad(lo[(i + 1) % 4]!, lo[i]!, hi[i]!, hi[(i + 1) % 4]!, paint)
}

/** A convex side view (forward, up), counter-clockwise seen from the right, drawn out across from −wide to wide. */
export function extrude(m: Mesher, profile: readonly (readonly [f: number, u: number])[], wide: number, paint: number): void {
  const at = ([f, u]: readonly [number, number], r: number): Vec3 => [f, u, r]
  const n = profile.length
  for (let i = 0; i < n; i++) {
    const [a, b] = [profile[i]!, profile[(i + 1) % n]!]
    m.quad(at(a, wide), at(a, -wide), at(b, -wide), at(b, wide), paint)
  }
  for (let i = 1; i < n - 1; i++) {
    m.triangle(at(profile[0]!, wide), at(profile[i]!, wide), at(profile[i + 1]!, wide), paint)
    m.triangle(at(profile[0]!, -wide), at(profile[i + 1]!, -wide), at(profile[i]!, -wide), paint)
  }
}
