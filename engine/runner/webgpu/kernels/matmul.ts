import { type Grid, type Kernel, type Load } from '../kernel'
import { F32, matrixBytes, scaled, weightsConstants, weightsSource, type MatrixFormat } from './weights'
import stepWgsl from './step.wgsl?raw'
import rowWgsl from './matmul-row.wgsl?raw'
import row4Wgsl from './matmul-row4.wgsl?raw'
import cooperativeWgsl from './matmul-cooperative.wgsl?raw'
import tileWgsl from './matmul-tile.wgsl?raw'
import reduceSubgroupWgsl from './reduce-subgroup.wgsl?raw'
import reduceWorkgroupWgsl from './reduce-workgroup.wgsl?raw'
import plainWgsl from './input-plain.wgsl?raw'
import normalisedWgsl from './input-normalised.wgsl?raw'
import denseWgsl from './rows-dense.wgsl?raw'
import expertsWgsl from './rows-experts.wgsl?raw'
import expertsSumWgsl from './rows-experts-sum.wgsl?raw'

/** A packed matrix (2 · pairs, columns) and the override constants of what stands before and behind the matmul. */
export interface MatmulShape {
  pairs: number
  columns: number
  around: Record<string, number>
  /** Matrices of this shape, one after the other (default 1). */
  experts?: number
}

/** What is fused around a matmul: RMSNorm in front or nothing, and what becomes of each pair of sums. */
export interface MatmulUse {
  name: string
  input: 'plain' | 'normalised'
  /**
   * Whose matrix: all tokens' one (default), each assignment's expert's, or those of all the experts a token was sent to.
   * The bindings of routes and order follow `bindings`.
   */
  rows?: 'experts' | 'experts-sum'
  /** WGSL of the output: inputRow(), finish(), and tokens() unless assignments are what is computed. */
  output: string
  /** Storage bindings after the matrix, the input and the gains. */
  bindings: readonly GPUBufferBindingType[]
  /** How many tokens of the load it runs over. */
  tokens(load: Load): number
  /** Bytes moved beyond matrix and input. */
  outputBytes(shape: MatmulShape, tokens: number): number
}

/** One way to do a matmul: what a workgroup takes together, and when it is meant to be used. */
export interface MatmulKernel extends Kernel<MatmulShape> {
  /** "cooperative4-subgroup-64", without the use. */
  way: string
  /** Tokens that share each load of the matrix. */
  tokensTogether: number
}

const ROW_WG = 8 // on a software adapter workgroups are what its threads share out: keep them small
/** Tokens that a cooperating workgroup takes together. */
const TOGETHER = [1, 2, 4, 8] as const
/** Sizes of cooperating workgroups: a subgroup of most devices, and more. */
const WIDTHS = [32, 64, 128] as const
export const DEFAULT_WIDTH = 64

/** All ways to do this matmul on a matrix of this format. Which one suits how many tokens is a plan's affair: see plan.ts. */
export function matmulKernels(use: MatmulUse, format: MatrixFormat = F32): MatmulKernel[] {
  const read = (count: number) => Array<GPUBufferBindingType>(count).fill('read-only-storage')
  const own = [...read(use.input === 'normalised' ? 3 : 2), ...use.bindings]
  const bindings = [...own, ...read(use.rows === 'experts' ? 2 : use.rows === 'experts-sum' ? 1 : 0), ...read(scaled(format) ? 1 : 0)]
  const rowsWgsl = !use.rows ? denseWgsl : `const ROUTES = ${own.length + 1}u;\n${use.rows === 'experts' ? expertsWgsl : expertsSumWgsl}`
  const around = [stepWgsl, weightsSource(format, bindings.length), rowsWgsl, use.input === 'plain' ? plainWgsl : normalisedWgsl, use.output].join('\n')
  // Of a mixture, as many experts' matrices as can have been touched.
  const matrix = ({ pairs, columns, experts = 1 }: MatmulShape, load: Load) => {
    const { data, scales } = matrixBytes(format, 2 * pairs, columns)
    return (data + scales) * Math.min(experts, use.rows ? load.rows * load.experts : 1)
  }
  // What the grid goes over: tokens, or assignments with what fills up their tiles.
  const spread = (load: Load) => (use.rows === 'experts' ? load.assignments : use.rows === 'experts-sum' ? load.rows : use.tokens(load))
  const common = (way: string, tokensTogether: number, source: string) => ({
    name: `${use.name}/${way}${format.format === 'f32' ? '' : `, ${format.format}`}`,
    way,
    tokensTogether,
    source: `${source}\n${around}`,
    bindings,
    flops: ({ pairs, columns }: MatmulShape, load: Load) => 4 * pairs * columns * use.tokens(load),
    bytes: (shape: MatmulShape, load: Load) => matrix(shape, load) + 4 * shape.columns * use.tokens(load) + use.outputBytes(shape, use.tokens(load)),
  })
  const constants = ({ pairs, columns, around }: MatmulShape, mine: Record<string, number>) => ({ PAIRS: pairs, ...weightsConstants(format, columns), ...mine, ...around })
  const any = () => true

  const row: MatmulKernel = {
    ...common('row', 1, rowWgsl),
    suits: any,
    constants: (shape) => constants(shape, { WG: ROW_WG }),
    grid: ({ pairs }, load): Grid => [Math.ceil(pairs / 2 / ROW_WG), 1, spread(load)],
  }
  const row4: MatmulKernel = {
    ...common('row4', 4, row4Wgsl),
    suits: any,
    constants: (shape) => constants(shape, { WG: ROW_WG }),
    grid: ({ pairs }, load): Grid => [Math.ceil(pairs / ROW_WG), 1, Math.ceil(spread(load) / 4)],
  }
  const cooperative = (together: number, reduce: 'subgroup' | 'workgroup', width: number): MatmulKernel => ({
    ...common(`cooperative${together}-${reduce}-${width}`, together, `${reduce === 'subgroup' ? reduceSubgroupWgsl : reduceWorkgroupWgsl}\nconst TOKENS = ${together}u;\n${cooperativeWgsl}`),
    suits: (device) => reduce === 'workgroup' || device.subgroups,
    constants: (shape) => constants(shape, { WG: width }),
    grid: ({ pairs }, load): Grid => [Math.ceil(pairs / 2), 1, Math.ceil(spread(load) / together)],
  })
  const tile = (side: 8 | 16): MatmulKernel => ({
    ...common(`tile${4 * side}`, 4 * side, tileWgsl),
    suits: any,
    constants: (shape) => constants(shape, { SIDE: side }),
    grid: ({ pairs }, load): Grid => [Math.ceil(pairs / (2 * side)), 1, Math.ceil(spread(load) / (4 * side))],
  })
  return [
    row, row4,
    ...(['subgroup', 'workgroup'] as const).flatMap((reduce) => TOGETHER.flatMap((together) => WIDTHS.map((width) => cooperative(together, reduce, width)))),
    tile(16), tile(8),
  ]
}
