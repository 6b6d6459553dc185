import type { MatrixFormat } from './kernels/weights'
import type { MatmulPlan } from './plan'

/** What trying kernels on a device has shown (tune.ts). Plain data: kept with the calibration, and there to be looked at. */
export interface Tuning {
  version: 1
  /** Adapter, its features and its limits: a driver that offers something else is another device. */
  device: string
  /** By shape and format: "1536x256 int4/64". */
  matmuls: Record<string, TunedMatmul>
  /** The WebAssembly runner's: from how many tokens on tiles are used, by format (wasm/switch-over.ts). */
  switchOver?: Record<number, number>
}

export interface TunedMatmul {
  plan: MatmulPlan
  /** Everything tried, in order: ms a product, or that its output was wrong. */
  tried: { tokens: number; way: string; ms?: number; wrong?: true }[]
}

interface Shape {
  pairs: number
  columns: number
}

export function shapeKey({ pairs, columns }: Shape, { format, group }: MatrixFormat): string {
  return `${2 * pairs}x${columns} ${format}${group > 0 ? `/${group}` : ''}`
}

/** The plan found for the shape nearest in size, of the same format; undefined when nothing was tried in it, or on another device. */
export function tunedPlan(tuning: Tuning | undefined, device: string, shape: Shape, format: MatrixFormat): MatmulPlan | undefined {
  if (tuning?.device !== device) return undefined
  const wanted = Math.log(2 * shape.pairs * shape.columns)
  let best: { plan: MatmulPlan; distance: number } | undefined
  for (const [key, { plan }] of Object.entries(tuning.matmuls)) {
    const [size, name] = key.split(' ') as [string, string]
    if (name.split('/')[0] !== format.format) continue
    const [rows, columns] = size.split('x').map(Number) as [number, number]
    const distance = Math.abs(Math.log(rows * columns) - wanted)
    if (!best || distance < best.distance) best = { plan, distance }
  }
  return best?.plan
}
