import type { ModelConfig } from '../../../model/config'
import { kernel } from '../kernel'
import type { MatmulUse } from './matmul'
import stepWgsl from './step.wgsl?raw'
import gatherWgsl from './experts-gather.wgsl?raw'
import orderWgsl from './experts-order.wgsl?raw'
import routeWgsl from './experts-route.wgsl?raw'
import partsWgsl from './output-parts.wgsl?raw'
import residualWgsl from './output-residual.wgsl?raw'
import swigluWgsl from './output-swiglu-experts.wgsl?raw'

export interface RouteShape {
  experts: number
  hidden: number
  epsilon: number
  /** Where in what is noted of a layer the choices begin, behind the marks of touched experts: words. */
  chosen: number
}

/** Scores experts, chooses the best and notes it. Bindings: x, gains, router (E, d), routes, what is noted of the layer. */
export const route = kernel<RouteShape>({
  name: 'route',
  source: `${stepWgsl}\n${routeWgsl}`,
  bindings: ['read-only-storage', 'read-only-storage', 'read-only-storage', 'storage', 'storage'],
  suits: () => true,
  constants: ({ experts, hidden, epsilon, chosen }) => ({ EXPERTS: experts, COLS4: hidden / 4, EPSILON: epsilon, CHOSEN: chosen }),
  grid: (_, { rows }) => [rows],
  flops: ({ experts, hidden }, { rows }) => 2 * experts * hidden * rows,
  bytes: ({ experts, hidden }, { rows }) => 4 * hidden * (experts + rows),
})

/** Sorts assignments by expert. Bindings: routes, order. */
export const order = kernel<{ experts: number }>({
  name: 'order',
  source: `${stepWgsl}\n${orderWgsl}`,
  bindings: ['read-only-storage', 'storage'],
  suits: () => true,
  constants: ({ experts }) => ({ EXPERTS: experts }),
  grid: () => [1],
  flops: () => 0,
  bytes: (_, { rows, experts, assignments }) => 8 * rows * experts + 4 * assignments,
})

const GATHER_WG = 64

/** Sums the experts' outputs. Bindings: outputs (assignments, d), x (rows, d). */
export const gather = kernel<{ hidden: number }>({
  name: 'gather',
  source: `${stepWgsl}\n${gatherWgsl}`,
  bindings: ['read-only-storage', 'storage'],
  suits: () => true,
  constants: ({ hidden }) => ({ WG: GATHER_WG, COLS4: hidden / 4 }),
  grid: ({ hidden }, { rows }) => [Math.ceil(hidden / 4 / GATHER_WG), rows],
  flops: ({ hidden }, { rows, experts }) => hidden * rows * experts,
  bytes: ({ hidden }, { rows, experts }) => 4 * hidden * rows * (experts + 2),
})

/** RMSNorm, gate, up, silu(gate) · up and the expert's weight. Bindings: matrices, x (rows, d), gains (d), result (assignments, ffn), routes, order. */
export const expertSwiglu: MatmulUse = {
  name: 'experts-swiglu',
  input: 'normalised',
  rows: 'experts',
  output: swigluWgsl,
  bindings: ['storage'],
  tokens: ({ rows, experts }) => rows * experts,
  outputBytes: ({ pairs }, tokens) => 4 * pairs * tokens,
}

/** Down of all of a token's experts at once, added to the residual stream. Bindings: matrices, input (rows · experts, ffn), x (rows, d), routes. */
export const expertSum: MatmulUse = {
  name: 'experts-down',
  input: 'plain',
  rows: 'experts-sum',
  output: residualWgsl,
  bindings: ['storage'],
  tokens: ({ rows, experts }) => rows * experts,
  outputBytes: ({ pairs }, tokens) => 8 * 2 * pairs * tokens,
}

/** Down of each assignment by itself. Bindings: matrices, input (assignments, ffn), outputs (assignments, d), routes, order. */
export const expertParts: MatmulUse = {
  name: 'experts-down',
  input: 'plain',
  rows: 'experts',
  output: partsWgsl,
  bindings: ['storage'],
  tokens: ({ rows, experts }) => rows * experts,
  outputBytes: ({ pairs }, tokens) => 4 * 2 * pairs * tokens,
}

/** Words of the marks of touched experts of a step and layer. */
export function markWords({ experts = 0 }: Pick<ModelConfig, 'experts'>): number {
  return Math.ceil(experts / 32)
}
