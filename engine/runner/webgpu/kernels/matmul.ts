import type { DeviceTraits } from '../device'
import { kernel, type Grid, type Kernel, type Load } from '../kernel'
import stepWgsl from './step.wgsl?raw'
import rowWgsl from './matmul-row.wgsl?raw'
import row4Wgsl from './matmul-row4.wgsl?raw'
import cooperativeWgsl from './matmul-cooperative.wgsl?raw'
import cooperative4Wgsl from './matmul-cooperative4.wgsl?raw'
import tileWgsl from './matmul-tile.wgsl?raw'
import reduceSubgroupWgsl from './reduce-subgroup.wgsl?raw'
import reduceWorkgroupWgsl from './reduce-workgroup.wgsl?raw'
import plainWgsl from './input-plain.wgsl?raw'
import normalisedWgsl from './input-normalised.wgsl?raw'

/** A packed matrix (2 · pairs, columns) and the override constants of what stands before and behind the matmul. */
export interface MatmulShape {
  pairs: number
  columns: number
  around: Record<string, number>
}

/** What is fused around a matmul: RMSNorm in front or nothing, and what becomes of each pair of sums. */
export interface MatmulUse {
  name: string
  input: 'plain' | 'normalised'
  /** WGSL of the output: tokens(), inputRow(), finish(). */
  output: string
  /** Storage bindings after the matrix, the input and the gains. */
  bindings: readonly GPUBufferBindingType[]
  /** How many tokens of the load it runs over. */
  tokens(load: Load): number
  /** Bytes moved beyond matrix and input. */
  outputBytes(shape: MatmulShape, tokens: number): number
}

/** One way to do a matmul, and the number of tokens it is meant for. */
export interface MatmulKernel extends Kernel<MatmulShape> {
  takes(shape: MatmulShape, tokens: number): boolean
}

const ROW_WG = 8 // on a software adapter workgroups are what its threads share out: keep them small
const COOPERATIVE_WG = 64
/** Up to here a batch of decodes goes four tokens at a time; beyond, tiles reuse more of both operands. */
const COOPERATIVE_TOKENS = 16
/** A grid of fewer 64 × 64 tiles leaves a graphics card idle: 32 × 32 then. */
const BUSY_TILES = 64

/** All ways to do this matmul. Of those that suit the device, the first that takes the tokens is used. */
export function matmulKernels(use: MatmulUse): MatmulKernel[] {
  const around = `${stepWgsl}\n${use.input === 'plain' ? plainWgsl : normalisedWgsl}\n${use.output}`
  const common = (name: string, source: string) => ({
    name: `${use.name}/${name}`,
    source: `${source}\n${around}`,
    bindings: ['read-only-storage', 'read-only-storage', ...(use.input === 'normalised' ? ['read-only-storage' as const] : []), ...use.bindings] as const,
    flops: ({ pairs, columns }: MatmulShape, load: Load) => 4 * pairs * columns * use.tokens(load),
    bytes: (shape: MatmulShape, load: Load) =>
      4 * shape.columns * (2 * shape.pairs + use.tokens(load)) + use.outputBytes(shape, use.tokens(load)),
  })
  const constants = (shape: MatmulShape, own: Record<string, number>) =>
    ({ PAIRS: shape.pairs, COLS4: shape.columns / 4, ...own, ...shape.around })
  const cooperates = (subgroups: boolean) => (device: DeviceTraits) => !device.software && device.subgroups === subgroups
  const graphics = (device: DeviceTraits) => !device.software

  const row = kernel<MatmulShape>({
    ...common('row', rowWgsl),
    suits: (device) => device.software,
    constants: (shape) => constants(shape, { WG: ROW_WG }),
    grid: ({ pairs }, load): Grid => [Math.ceil(pairs / 2 / ROW_WG), 1, use.tokens(load)],
  })
  const row4 = kernel<MatmulShape>({
    ...common('row4', row4Wgsl),
    suits: (device) => device.software,
    constants: (shape) => constants(shape, { WG: ROW_WG }),
    grid: ({ pairs }, load): Grid => [Math.ceil(pairs / ROW_WG), 1, Math.ceil(use.tokens(load) / 4)],
  })
  const cooperative = (reduce: 'subgroup' | 'workgroup') => kernel<MatmulShape>({
    ...common(`cooperative-${reduce}`, `${reduce === 'subgroup' ? reduceSubgroupWgsl : reduceWorkgroupWgsl}\n${cooperativeWgsl}`),
    suits: cooperates(reduce === 'subgroup'),
    constants: (shape) => constants(shape, { WG: COOPERATIVE_WG }),
    grid: ({ pairs }, load): Grid => [Math.ceil(pairs / 2), 1, use.tokens(load)],
  })
  const cooperative4 = (reduce: 'subgroup' | 'workgroup') => kernel<MatmulShape>({
    ...common(`cooperative4-${reduce}`, `${reduce === 'subgroup' ? reduceSubgroupWgsl : reduceWorkgroupWgsl}\n${cooperative4Wgsl}`),
    suits: cooperates(reduce === 'subgroup'),
    constants: (shape) => constants(shape, { WG: COOPERATIVE_WG }),
    grid: ({ pairs }, load): Grid => [Math.ceil(pairs / 2), 1, Math.ceil(use.tokens(load) / 4)],
  })
  const tileGrid = (side: number, pairs: number, tokens: number): [number, number, number] =>
    [Math.ceil(pairs / (2 * side)), 1, Math.ceil(tokens / (4 * side))]
  const tile = (side: 8 | 16) => kernel<MatmulShape>({
    ...common(`tile${4 * side}`, tileWgsl),
    suits: graphics,
    constants: (shape) => constants(shape, { SIDE: side }),
    grid: ({ pairs }, load): Grid => tileGrid(side, pairs, use.tokens(load)),
  })
  const busy = ({ pairs }: MatmulShape, tokens: number): boolean => {
    const [x, , z] = tileGrid(16, pairs, tokens)
    return x * z >= BUSY_TILES
  }
  const one = (_: MatmulShape, tokens: number): boolean => tokens === 1
  const few = (_: MatmulShape, tokens: number): boolean => tokens <= COOPERATIVE_TOKENS
  const any = (): boolean => true
  return [
    { ...row, takes: one },
    { ...row4, takes: any },
    { ...cooperative('subgroup'), takes: one },
    { ...cooperative('workgroup'), takes: one },
    { ...cooperative4('subgroup'), takes: few },
    { ...cooperative4('workgroup'), takes: few },
    { ...tile(16), takes: busy },
    { ...tile(8), takes: any },
  ]
}
