import {
  AdditiveBlending, BufferGeometry, CylinderGeometry, DataTexture, DynamicDrawUsage, Group, InstancedBufferAttribute, InstancedMesh, LinearFilter, MeshBasicMaterial, MeshLambertMaterial, PlaneGeometry,
  RGBAFormat, type Material as ThreeMaterial,
} from 'three'
import { mergeGeometries } from 'three/examples/jsm/utils/BufferGeometryUtils.js'
import { CAR, trailerOf } from '../carplan'
import { rgb, roleColour, type Palette, type Rgb } from '../palette'
import type { Pose } from '../road'
import type { Scene } from '../scene'
import type { World } from '../world'
import { colour, extrude, frameBox, linear, Mesher } from './geometry'

/** Everything that moves: cars part by part, trailers block by block, barriers, lamps. All instanced. */
export interface Fleet {
  group: Group
  paint(palette: Palette, dark: boolean): void
  /** Puts everything where the scene has it. `followed` is marked. */
  update(scene: Scene | undefined, world: World, followed?: number): void
  /** Cars drawn by the last update. */
  readonly count: number
  dispose(): void
}

/** A Lambert material whose instances fade one by one. */
function fading(vertexColors = false): MeshLambertMaterial {
  const material = new MeshLambertMaterial({ vertexColors, transparent: true })
  material.onBeforeCompile = (shader) => {
    shader.vertexShader = shader.vertexShader
      .replace('#include <common>', '#include <common>\nattribute float fade;\nvarying float vFade;')
      .replace('#include <begin_vertex>', '#include <begin_vertex>\nvFade = fade;')
    shader.fragmentShader = shader.fragmentShader
      .replace('#include <common>', '#include <common>\nvarying float vFade;')
      .replace('#include <color_fragment>', '#include <color_fragment>\ndiffuseColor.a *= vFade;')
  }
  return material
}

/** Instances of one part; grows as needed and never shrinks. */
class Batch {
  mesh: InstancedMesh
  private matrices: Float32Array
  private colours: Float32Array | undefined
  private fades: Float32Array | undefined
  n = 0

  constructor(private readonly group: Group, geometry: BufferGeometry, material: ThreeMaterial, private readonly tinted: boolean, private readonly shadow: boolean, room = 64) {
    this.mesh = this.make(geometry, material, room)
    this.matrices = this.mesh.instanceMatrix.array as Float32Array
    this.colours = this.mesh.instanceColor?.array as Float32Array | undefined
    this.fades = this.mesh.geometry.getAttribute('fade')?.array as Float32Array | undefined
    group.add(this.mesh)
  }

  private make(geometry: BufferGeometry, material: ThreeMaterial, room: number): InstancedMesh {
    const mesh = new InstancedMesh(geometry, material, room)
    mesh.instanceMatrix.setUsage(DynamicDrawUsage)
    if (this.tinted) {
      mesh.instanceColor = new InstancedBufferAttribute(new Float32Array(3 * room), 3)
      mesh.instanceColor.setUsage(DynamicDrawUsage)
    }
    if (material instanceof MeshLambertMaterial && material.transparent) {
      const fade = new InstancedBufferAttribute(new Float32Array(room).fill(1), 1)
      fade.setUsage(DynamicDrawUsage)
      geometry.setAttribute('fade', fade)
    }
    mesh.castShadow = this.shadow
    mesh.receiveShadow = this.shadow
    mesh.frustumCulled = false
    return mesh
  }

  begin(): void {
    this.n = 0
  }

  private grow(): void {
    const old = this.mesh
    this.mesh = this.make(old.geometry, old.material as ThreeMaterial, 2 * (this.matrices.length / 16))
    this.mesh.renderOrder = old.renderOrder
    this.mesh.visible = old.visible
    ;(this.mesh.instanceMatrix.array as Float32Array).set(this.matrices)
    this.matrices = this.mesh.instanceMatrix.array as Float32Array
    if (this.colours) {
      ;(this.mesh.instanceColor!.array as Float32Array).set(this.colours)
      this.colours = this.mesh.instanceColor!.array as Float32Array
    }
    const grown = this.mesh.geometry.getAttribute('fade')?.array as Float32Array | undefined
    if (grown && this.fades) grown.set(this.fades)
    this.fades = grown
    this.group.remove(old)
    old.dispose()
    this.group.add(this.mesh)
  }

  /** One more, standing in a pose: f forward of it and u above, its axes drawn out by sf, su, sr. */
  add(pose: Pose, f: number, u: number, sf: number, su: number, sr: number, tint?: Rgb, fade = 1): void {
    if (16 * (this.n + 1) > this.matrices.length) this.grow()
    const m = this.matrices
    const o = 16 * this.n
    const { hx, hz, climb } = pose
    const [x, y, z] = pose.position
    const l = 1 / Math.sqrt(1 + climb * climb)
    const [fx, fy, fz] = [hx * l, climb * l, hz * l]
    const [ux, uy, uz] = [-hx * climb * l, l, -hz * climb * l]
    m[o] = fx * sf
    m[o + 1] = fy * sf
    m[o + 2] = fz * sf
    m[o + 3] = 0
    m[o + 4] = ux * su
    m[o + 5] = uy * su
    m[o + 6] = uz * su
    m[o + 7] = 0
    m[o + 8] = -hz * sr
    m[o + 9] = 0
    m[o + 10] = hx * sr
    m[o + 11] = 0
    m[o + 12] = x + f * fx + u * ux
    m[o + 13] = y + f * fy + u * uy
    m[o + 14] = z + f * fz + u * uz
    m[o + 15] = 1
    if (this.fades) this.fades[this.n] = fade
    this.tint(tint)
  }

  /** One more, by its axes and its origin. */
  addAxes(axes: readonly number[], tint?: Rgb): void {
    if (16 * (this.n + 1) > this.matrices.length) this.grow()
    this.matrices.set(axes, 16 * this.n)
    this.tint(tint)
  }

  private tint(tint: Rgb | undefined): void {
    if (tint && this.colours) {
      this.colours[3 * this.n] = tint[0]
      this.colours[3 * this.n + 1] = tint[1]
      this.colours[3 * this.n + 2] = tint[2]
    }
    this.n++
  }

  end(): void {
    this.mesh.count = this.n
    this.mesh.instanceMatrix.clearUpdateRanges()
    this.mesh.instanceMatrix.addUpdateRange(0, 16 * this.n)
    this.mesh.instanceMatrix.needsUpdate = true
    if (this.mesh.instanceColor) {
      this.mesh.instanceColor.clearUpdateRanges()
      this.mesh.instanceColor.addUpdateRange(0, 3 * this.n)
      this.mesh.instanceColor.needsUpdate = true
    }
    const fade = this.fades && (this.mesh.geometry.getAttribute('fade') as InstancedBufferAttribute)
    if (fade) {
      fade.clearUpdateRanges()
      fade.addUpdateRange(0, this.n)
      fade.needsUpdate = true
    }
  }

  dispose(): void {
    this.mesh.dispose()
    this.mesh.geometry.dispose()
    ;(this.mesh.material as ThreeMaterial).dispose()
  }
}

const box = (f: [number, number], u: [number, number], r: [number, number]): BufferGeometry => {
  const m = new Mesher()
  frameBox(m, (a, b, c) => [a, b, c], f, u, r, m.paint('plain'))
  return m.geometry()
}

function bodyGeometry(): BufferGeometry {
  const m = new Mesher()
  extrude(m, CAR.body, CAR.bodyWide, m.paint('plain'))
  return m.geometry()
}

/** Glass, roof and wheels: what is the same on every car. */
function fittings(): BufferGeometry {
  const m = new Mesher()
  extrude(m, CAR.glass, CAR.glassWide, m.paint('glass'))
  const { roof, wheels } = CAR
  frameBox(m, (a, b, c) => [a, b, c], [roof.from, roof.to], [roof.low, roof.high], [-roof.wide, roof.wide], m.paint('roof'))
  const rubber = m.paint('wheel')
  for (const f of wheels.at) {
    for (const r of [-CAR.bodyWide, CAR.bodyWide]) {
      const cylinder = new CylinderGeometry(wheels.radius, wheels.radius, wheels.wide, 12).rotateX(Math.PI / 2).translate(f, wheels.radius, r).toNonIndexed()
      const p = cylinder.getAttribute('position')
      for (let i = 0; i < p.count; i += 3) {
        m.triangle([p.getX(i), p.getY(i), p.getZ(i)], [p.getX(i + 1), p.getY(i + 1), p.getZ(i + 1)], [p.getX(i + 2), p.getY(i + 2), p.getZ(i + 2)], rubber)
      }
      cylinder.dispose()
    }
  }
  return m.geometry()
}

function lamps(f: number): BufferGeometry {
  const { low, high, inner, outer } = CAR.lamps
  const pair = [[-outer, -inner], [inner, outer]].map((r) => box([f - 0.03, f + 0.03], [low, high], r as [number, number]))
  const merged = mergeGeometries(pair.map((g) => {
    const plain = g.clone()
    plain.userData = {}
    return plain
  }))
  for (const g of pair) g.dispose()
  return merged
}

/** Light on the road: `shape` of (along 0 … 1, across −1 … 1) says how much. */
function lightMap(shape: (along: number, across: number) => number): DataTexture {
  const size = 64
  const data = new Uint8Array(4 * size * size)
  for (let j = 0; j < size; j++) {
    for (let i = 0; i < size; i++) {
      const v = 255 * Math.min(1, Math.max(0, shape((i + 0.5) / size, ((j + 0.5) / size) * 2 - 1)))
      data.set([v, v, v, 255], 4 * (j * size + i))
    }
  }
  const texture = new DataTexture(data, size, size, RGBAFormat)
  texture.magFilter = texture.minFilter = LinearFilter
  texture.needsUpdate = true
  return texture
}

/** Two beams that fall off with the way and spread with it. */
const beam = (along: number, across: number) => {
  const spread = 0.22 + 0.55 * along
  const each = (centre: number) => Math.exp(-(((across - centre) / spread) ** 2) * 2.2)
  return 0.75 * (each(-0.24) + each(0.24)) * (1 - along) ** 1.7 * Math.min(1, along * 14) * Math.max(0, 1 - across ** 6)
}
const pool = (along: number, across: number) => Math.max(0, 1 - Math.hypot(2 * along - 1, across)) ** 1.8

function lightMaterial(map: DataTexture): MeshBasicMaterial {
  return new MeshBasicMaterial({ transparent: true, blending: AdditiveBlending, depthWrite: false, alphaMap: map })
}

/** A flat quad from 0 to 1 forward, −1 to 1 across, lying on the road. */
const carpet = () => new PlaneGeometry(1, 2).rotateX(-Math.PI / 2).translate(0.5, 0, 0)

export function fleet(): Fleet {
  const group = new Group()
  const lambert = (vertexColors = false) => new MeshLambertMaterial({ vertexColors })
  const basic = () => new MeshBasicMaterial()
  const flat = (g: BufferGeometry) => (g.deleteAttribute('color'), g)
  const body = new Batch(group, flat(bodyGeometry()), fading(), true, true)
  const fitted = new Batch(group, fittings(), fading(true), false, true)
  const blocks = new Batch(group, flat(box([-1, 0], [CAR.block.low, CAR.block.high], [-CAR.block.wide, CAR.block.wide])), fading(), true, true, 512)
  const beds = new Batch(group, flat(box([-1, 0], [CAR.bed.low, CAR.bed.high], [-CAR.bed.wide, CAR.bed.wide])), fading(), true, true, 512)
  const heads = new Batch(group, flat(lamps(0.01)), basic(), true, false)
  const tails = new Batch(group, flat(lamps(-2.51)), basic(), true, false)
  const arms = new Batch(group, flat(box([0, 1], [-0.09, 0.09], [-0.09, 0.09])), lambert(), true, true)
  const signs = new Batch(group, flat(box([-0.06, 0.06], [0, 0.3], [-0.62, 0.62])), basic(), true, false)
  const halos = new Batch(group, flat(box([-1, 0], [0, 0.02], [-1, 1])), new MeshBasicMaterial({ transparent: true, opacity: 0.24, depthWrite: false }), true, false)
  const beams = new Batch(group, carpet(), lightMaterial(lightMap(beam)), true, false)
  const pools = new Batch(group, carpet(), lightMaterial(lightMap(pool)), true, false)
  beams.mesh.renderOrder = pools.mesh.renderOrder = 3
  halos.mesh.renderOrder = 1
  const all = [body, fitted, blocks, beds, heads, tails, arms, signs, halos, beams, pools]

  let roles: Record<string, Rgb> = {}
  let fixed: Record<'head' | 'tail' | 'brake' | 'go' | 'stop' | 'arm' | 'stripe' | 'bed' | 'warm' | 'red' | 'ghost', Rgb>
  let night = false
  let count = 0

  return {
    group,
    get count() { return count },
    paint(palette, dark) {
      night = dark
      for (const role of ['queue', 'prefill', 'decode', 'muted'] as const) roles = { ...roles, [role]: linear(roleColour(palette, role)) }
      const of = (hex: string) => linear(rgb(hex))
      fixed = {
        head: of(palette.headLamp), tail: of(palette.tailDark), brake: of(palette.tailLamp), go: of(palette.go), stop: of(palette.stop), arm: of(palette.arm), stripe: of(palette.queue),
        bed: of(palette.bed), warm: of('#ffedc2'), red: of('#ff3b30'), ghost: of(palette.roof),
      }
      colour(fitted.mesh.geometry, (name) => rgb(name === 'glass' ? palette.glass : name === 'roof' ? palette.roof : palette.wheel))
      // At night cars keep their colour, or nobody could tell their phase.
      for (const batch of [body, blocks]) (batch.mesh.material as MeshLambertMaterial).color.setScalar(dark ? 1.75 : 1)
    },
    update(scene, world, followed) {
      for (const batch of all) batch.begin()
      count = 0
      if (scene) {
        const { layout, site } = scene
        const k = layout.scale
        for (const car of scene.cars) {
          const road = site.roads[car.road]!
          const offset = (s: number) => road.laneOffset(car.lane, layout.lanes, s)
          const size = k
          if (car.presence <= 0.01) continue
          count++
          const middle = car.station - layout.carLength / 2
          const pose = road.poseAt(middle, offset(middle))
          const tint = roles[car.role]!
          const front = layout.carLength / 2
          body.add(pose, front, 0.01, size, size, size, tint, car.presence)
          fitted.add(pose, front, 0.01, size, size, size, undefined, car.presence)
          if (car.presence > 0.5) heads.add(pose, front, 0.01, size, size, size, fixed.head)
          if (car.presence > 0.5) tails.add(pose, front, 0.01, size, size, size, car.brake ? fixed.brake : fixed.tail)
          const { count: boxes, step, slit, from, filled } = trailerOf(layout, car)
          for (let i = 0; i < boxes; i++) {
            const s = from - i * step
            const at = road.poseAt(s - step / 2, offset(s))
            const part = i === boxes - 1 ? Math.max(0.08, filled) : 1
            blocks.add(at, step / 2 - slit / 2, 0.01, (step - slit) * part, k, k, tint, car.presence)
            beds.add(at, step / 2, 0.01, step, k, k, fixed.bed, car.presence)
          }
          if (boxes > 0) beds.add(pose, front - 2.35 * k, 0.01, layout.hitch + 0.2 * k, k, 0.3 * k, fixed.bed, car.presence)
          if (car.draft) {
            const small = 0.62 * k
            const s = car.draft.station + layout.draftLength
            const ahead = road.poseAt(s - layout.draftLength / 2, offset(s))
            body.add(ahead, layout.draftLength / 2, 0.01, small, small, small, fixed.ghost)
            fitted.add(ahead, layout.draftLength / 2, 0.01, small, small, small)
            heads.add(ahead, layout.draftLength / 2, 0.01, small, small, small, fixed.head)
          }
          if (followed === car.request) {
            const length = car.station - car.tail + 1.2 * k
            const pieces = Math.max(1, Math.ceil(length / 2))
            for (let i = 0; i < pieces; i++) {
              const s = car.station + 0.6 * k - (i * length) / pieces
              halos.add(road.poseAt(s, offset(s)), 0, 0.05, length / pieces, 1, 1.05 * k, tint)
            }
          }
          if (night) {
            if (car.brake) pools.add(road.poseAt(car.station - layout.carLength - 2.2 * k, offset(car.station)), 0, 0.06, 3 * k, 1, 1.1 * k, fixed.red)
            else beams.add(road.poseAt(car.station, offset(car.station)), 0, 0.06, 6.5 * k, 1, 1.9 * k, fixed.warm)
          }
        }
      }
      for (const [g, gate] of world.gates.entries()) {
        const open = scene?.gates[g]?.open ?? 1
        const angle = open * 1.3
        const [hx, hy, hz] = gate.hinge
        const [cx, , cz] = gate.across
        const [c, s] = [Math.cos(angle), Math.sin(angle)]
        const w = gate.size
        // Forward along the arm, up square to it, right along the road.
        const axes = (from: number, to: number, thick: number) => {
          const l = to - from
          return [
            cx * c * l, s * l, cz * c * l, 0,
            -cx * s * thick, c * thick, -cz * s * thick, 0,
            gate.hx * thick, 0, gate.hz * thick, 0,
            hx + cx * c * from, hy + 1.05 * w + s * from, hz + cz * c * from, 1,
          ]
        }
        for (let i = 0; i < 6; i++) arms.addAxes(axes((gate.length * i) / 6, (gate.length * (i + 1)) / 6, w), i % 2 ? fixed.arm : fixed.stripe)
        arms.addAxes([0.16 * w, 0, 0, 0, 0, 6.2 * w, 0, 0, 0, 0, 1.8 * w, 0, hx - 0.08 * w, hy + 0.56 * w, hz, 1], fixed.bed)
        const sx = gate.sign[0] + gate.hx * 2.05 * w
        const sz = gate.sign[2] + gate.hz * 2.05 * w
        signs.addAxes([gate.hx * w, 0, gate.hz * w, 0, 0, w, 0, 0, -gate.hz * w, 0, gate.hx * w, 0, sx, gate.sign[1] - 0.06 * w, sz, 1], open > 0.5 ? fixed.go : fixed.stop)
      }
      for (const batch of all) batch.end()
    },
    dispose() {
      for (const batch of all) batch.dispose()
      for (const batch of [beams, pools]) (batch.mesh.material as MeshBasicMaterial).alphaMap?.dispose()
    },
  }
}
