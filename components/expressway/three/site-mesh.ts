import {
  AdditiveBlending, DataTexture, DoubleSide, Group, LinearFilter, Mesh, MeshBasicMaterial, MeshLambertMaterial, PlaneGeometry, RGBAFormat, ShadowMaterial, type BufferGeometry,
} from 'three'
import { blend, mixOf, rgb, type Palette, type Rgb } from '../palette'
import type { Vec3 } from '../project'
import type { Box, Kerb, Material, Mix, Slab, Stripe, Tree, World } from '../world'
import { colour, frameBox, Mesher } from './geometry'

/** The standing parts of a world as a handful of meshes. */
export interface SiteMesh {
  group: Group
  paint(palette: Palette, dark: boolean): void
  /** How bright each expert's hall is, 0 … 1. */
  light(palette: Palette, load: readonly number[]): void
  dispose(): void
}

/** Boxes that shine by themselves. */
const UNLIT: readonly Material[] = ['window']

export function siteMesh(world: World): SiteMesh {
  const solid = new Mesher()
  const paintwork = new Mesher()
  const kerbs = new Mesher()
  const glow = new Mesher()
  for (const slab of world.slabs) addSlab(solid, slab)
  for (const box of [...world.boxes.below, ...world.boxes.toll, ...world.boxes.over]) addBox(UNLIT.includes(box.material) ? kerbs : solid, box)
  for (const tree of world.trees) addTree(solid, tree)
  for (const stripe of world.stripes) addStripe(paintwork, stripe)
  for (const kerb of world.kerbs) {
    addKerb(kerbs, kerb)
    addGlow(glow, kerb)
  }
  const geometries = [solid, paintwork, kerbs, glow].map((m) => m.geometry()) as [BufferGeometry, BufferGeometry, BufferGeometry, BufferGeometry]
  const [solidGeometry, paintGeometry, kerbGeometry, glowGeometry] = geometries

  const group = new Group()
  const body = new Mesh(solidGeometry, new MeshLambertMaterial({ vertexColors: true, side: DoubleSide }))
  body.castShadow = body.receiveShadow = true
  const marks = new Mesh(paintGeometry, new MeshLambertMaterial({ vertexColors: true }))
  marks.receiveShadow = true
  const lines = new Mesh(kerbGeometry, new MeshBasicMaterial({ vertexColors: true, side: DoubleSide }))
  const halo = new Mesh(glowGeometry, new MeshBasicMaterial({ vertexColors: true, transparent: true, blending: AdditiveBlending, depthWrite: false, side: DoubleSide, alphaMap: band(), opacity: 0.6 }))
  halo.renderOrder = 2
  const ground = new Mesh(new PlaneGeometry(900, 900), new ShadowMaterial())
  ground.rotation.x = -Math.PI / 2
  ground.position.y = -0.02
  ground.receiveShadow = true
  group.add(ground, body, marks, lines, halo)

  let load: readonly number[] = []
  const shades = (palette: Palette) => (name: string): Rgb => paintOf(palette, name, load)
  return {
    group,
    paint(palette, dark) {
      for (const g of geometries) colour(g, shades(palette))
      ground.material.color.set(palette.shadow)
      ground.material.opacity = palette.shadowOpacity
      halo.visible = dark
    },
    light(palette, next) {
      if (next.length === load.length && next.every((v, i) => v === load[i])) return
      load = [...next]
      colour(solidGeometry, shades(palette))
    },
    dispose() {
      for (const g of geometries) g.dispose()
      ground.geometry.dispose()
      halo.material.alphaMap?.dispose()
      for (const mesh of [body, marks, lines, halo, ground]) (mesh.material).dispose()
    },
  }
}

/** Paints are named so that a theme can give them their colours: "tint 0.25", "mix 0,1,0,0 0.8", "tree", "hall 3". */
function paintOf(p: Palette, name: string, load: readonly number[]): Rgb {
  const [kind, ...rest] = name.split(' ') as [string, ...string[]]
  if (kind === 'tint') return blend(rgb(p.road), rgb(p.ramp), Number(rest[0]))
  if (kind === 'side') return blend(rgb(p.roadSide), rgb(p.rampSide), Number(rest[0]))
  if (kind === 'mix') {
    const c = mixOf(p, rest[0]!.split(',').map(Number) as unknown as Mix)
    const k = Number(rest[1])
    return [c[0] * k, c[1] * k, c[2] * k]
  }
  if (kind === 'mark') return rgb(p.mark)
  if (kind === 'expert') return blend(rgb(p.materials[rest[1] as Material]), rgb(p.decode), Math.min(1, load[Number(rest[0])] ?? 0))
  return rgb(p.materials[kind as Material])
}

const round = (v: number) => Math.round(v * 20) / 20

function addSlab(m: Mesher, { left, right, thick, tint, crossing }: Slab): void {
  const rim = (v: Vec3): Vec3 => (crossing ? [v[0], v[1] - 0.06, v[2]] : v)
  const down = (v: Vec3): Vec3 => [v[0], Math.max(0, v[1] - thick), v[2]]
  for (let i = 1; i < left.length; i++) {
    const [l0, l1, r0, r1] = [left[i - 1]!, left[i]!, right[i - 1]!, right[i]!]
    const [t0, t1] = [round(tint[i - 1]!), round(tint[i]!)]
    const [a, b] = [m.paint(`tint ${t0}`), m.paint(`tint ${t1}`)]
    m.triangle(r0, r1, l1, a, b, b)
    m.triangle(r0, l1, l0, a, b, a)
    const [c, d] = [m.paint(`side ${t0}`), m.paint(`side ${t1}`)]
    m.quad(down(r0), down(r1), rim(r1), rim(r0), c, d, d, c)
    m.quad(down(l1), down(l0), rim(l0), rim(l1), d, c, c, d)
    m.quad(down(l0), down(l1), down(r1), down(r0), c, d, d, c)
  }
}

function addBox(m: Mesher, { foot: [x, y, z], hx, hz, long, wide, high, material, taper, expert }: Box): void {
  const at = (f: number, u: number, r: number): Vec3 => [x + f * hx - r * hz, y + u, z + f * hz + r * hx]
  frameBox(m, at, [-long, long], [0, high], [-wide, wide], m.paint(expert === undefined ? material : `expert ${expert} ${material}`), taper)
}

function addTree(m: Mesher, { foot: [x, , z], size }: Tree): void {
  const at = (f: number, u: number, r: number): Vec3 => [x + f, u, z + r]
  frameBox(m, at, [-0.14, 0.14], [0, 0.7], [-0.14, 0.14], m.paint('trunk'))
  const rim = (k: number): Vec3 => {
    const a = (k / 7) * 2 * Math.PI + 0.3
    return [x + 1.12 * size * Math.cos(a), 0.5 * size, z + 1.12 * size * Math.sin(a)]
  }
  const apex: Vec3 = [x, 3.1 * size, z]
  for (let k = 0; k < 7; k++) m.triangle(apex, rim(k + 1), rim(k), m.paint('tree'))
}

/** Unit vectors square to a line in the ground plane, at each of its points. */
function normals(points: Vec3[]): [x: number, z: number][] {
  return points.map((_, i) => {
    const [a, b] = [points[Math.max(0, i - 1)]!, points[Math.min(points.length - 1, i + 1)]!]
    const d = Math.hypot(b[0] - a[0], b[2] - a[2]) || 1
    return [-(b[2] - a[2]) / d, (b[0] - a[0]) / d]
  })
}

const shift = ([x, y, z]: Vec3, [nx, nz]: [number, number], by: number, up: number): Vec3 => [x + nx * by, y + up, z + nz * by]

function addStripe(m: Mesher, { points, width }: Stripe): void {
  const n = normals(points)
  const paint = m.paint('mark')
  for (let i = 1; i < points.length; i++) {
    const side = (k: number, by: number) => shift(points[k]!, n[k]!, by, 0.03)
    m.quad(side(i - 1, width / 2), side(i, width / 2), side(i, -width / 2), side(i - 1, -width / 2), paint)
  }
}

function addKerb(m: Mesher, { points, mix }: Kerb): void {
  const n = normals(points)
  const name = (k: number, shade: number) => m.paint(`mix ${mix[k]!.map((v) => Math.round(v * 50) / 50).join(',')} ${shade}`)
  for (let i = 1; i < points.length; i++) {
    const at = (k: number, by: number, up: number) => shift(points[k]!, n[k]!, by, up)
    const [a, b] = [name(i - 1, 1), name(i, 1)]
    m.quad(at(i - 1, 0.11, 0.2), at(i, 0.11, 0.2), at(i, -0.11, 0.2), at(i - 1, -0.11, 0.2), a, b, b, a)
    const [c, d] = [name(i - 1, 0.78), name(i, 0.78)]
    for (const side of [0.11, -0.11]) m.quad(at(i - 1, side, -0.08), at(i, side, -0.08), at(i, side, 0.2), at(i - 1, side, 0.2), c, d, d, c)
  }
}

function addGlow(m: Mesher, { points, mix }: Kerb): void {
  const n = normals(points)
  const name = (k: number) => m.paint(`mix ${mix[k]!.map((v, i) => (i === 3 ? 0 : Math.round(v * 50) / 50)).join(',')} 1`)
  for (let i = 1; i < points.length; i++) {
    const at = (k: number, by: number) => shift(points[k]!, n[k]!, by, 0.06)
    const [a, b, c, d] = [at(i - 1, 1), at(i, 1), at(i, -1), at(i - 1, -1)]
    m.triangle(a, b, c, name(i - 1), name(i), name(i), [[0, 0], [0, 0], [0, 1]])
    m.triangle(a, c, d, name(i - 1), name(i), name(i - 1), [[0, 0], [0, 1], [0, 1]])
  }
}

/** Bright in the middle, nothing at its edges. */
function band(): DataTexture {
  const size = 32
  const data = new Uint8Array(4 * size)
  for (let i = 0; i < size; i++) {
    const d = Math.abs((i + 0.5) / size - 0.5) * 2
    const v = 255 * (1 - d) ** 2.2
    data.set([v, v, v, 255], 4 * i)
  }
  const texture = new DataTexture(data, 1, size, RGBAFormat)
  texture.magFilter = texture.minFilter = LinearFilter
  texture.needsUpdate = true
  return texture
}
