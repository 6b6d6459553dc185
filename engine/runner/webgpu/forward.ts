import type { ModelConfig } from '../../model/config'
import type { DeviceTraits } from './device'
import type { PlannedStep } from './batch'
import { bind, build, fold, type Built, type Load } from './kernel'
import { attentionKernels, attentionShape, type AttentionShape } from './kernels/attention'
import { copyKv, quantizeKv, type CacheShape } from './kernels/cache'
import { expertParts, expertSum, expertSwiglu, gather, order, route, type RouteShape } from './kernels/experts'
import { embedKernel } from './kernels/embed'
import { logits, logitsShape } from './kernels/logits'
import { matmulKernels, type MatmulShape, type MatmulUse } from './kernels/matmul'
import { qkv, qkvShape } from './kernels/qkv'
import { residual, residualShape } from './kernels/residual'
import { sample, type SampleShape } from './kernels/sample'
import { swiglu, swigluShape } from './kernels/swiglu'
import type { MatrixFormat } from './kernels/weights'
import type { Formats, Matrix, Memory } from './memory'
import { tunedPlan, type Tuning } from './tuning'
import { defaultPlan, expertPlan, expertPlans, wayFor, waysOf, type ExpertPlan, type MatmulPlan } from './plan'

/** Receives the dispatches of a step in order. */
export interface Recorder {
  dispatch(built: Built, group: GPUBindGroup, slot: number, grid: [number, number, number], load: Load): void
}

/** One matmul of the model, built in every way that its plan asks for. */
interface Matmul {
  use: MatmulUse
  shape: MatmulShape
  plan: MatmulPlan
  ways: Map<string, Built<MatmulShape>>
}

interface LayerGroups {
  copy: GPUBindGroup
  qkv: GPUBindGroup
  quantize?: GPUBindGroup
  attention: GPUBindGroup
  o: GPUBindGroup
  ffn: { swiglu: GPUBindGroup; down: GPUBindGroup } | ExpertGroups
}

interface ExpertGroups {
  route: GPUBindGroup
  swiglu: GPUBindGroup
  /** Each token's sum at once, or assignment by assignment. */
  sum: GPUBindGroup
  parts: GPUBindGroup
}

/** A mixture's kernels in place of SwiGLU's two. */
interface Experts {
  plans: ExpertPlan[]
  count: number
  route: Built<RouteShape>
  order: Built<{ experts: number }>
  gather: Built<{ hidden: number }>
  orderGroup: GPUBindGroup
  gatherGroup: GPUBindGroup
  swiglu: Map<string, Built<MatmulShape>>
  sum: Map<string, Built<MatmulShape>>
  parts: Map<string, Built<MatmulShape>>
}

interface Attention {
  row?: Built<AttentionShape>
  decode?: Built<AttentionShape>
  combine?: Built<AttentionShape>
  prefill?: Built<AttentionShape>
}

interface Matmuls {
  qkv: Matmul
  o: Matmul
  logits: Matmul
  ffn: { swiglu: Matmul; down: Matmul } | undefined
}

/**
 * The transformer as a list of dispatches: five a layer for decodes (six where a context is split or the cache is
 * int8), and three around them. All pipelines and bind groups exist before the first token; a step only records them.
 */
export class Forward {
  private constructor(
    private readonly most: number,
    private readonly embedding: { built: Built<{ hidden: number }>; group: GPUBindGroup },
    private readonly layers: LayerGroups[],
    private readonly matmuls: Matmuls,
    private readonly attention: Attention,
    private readonly cache: { copy: Built<CacheShape>; quantize?: Built<CacheShape> },
    private readonly experts: Experts | undefined,
    private readonly head: { logits: GPUBindGroup; sample: Built<SampleShape>; sampleGroup: GPUBindGroup },
  ) {}

  /** Whether longer chunks get tiles of their own. */
  get tiles(): boolean {
    return this.attention.prefill !== undefined
  }

  /** `tokens`: most in a step. `tuning`: what was found of this device. */
  static async build(device: GPUDevice, traits: DeviceTraits, c: ModelConfig, memory: Memory, formats: Formats, tokens: number, tuning?: Tuning): Promise<Forward> {
    const cacheShape: CacheShape = { kvHeads: c.kvHeads, headDim: c.headDim, kv: formats.kv }
    const matmul = (use: MatmulUse, shape: MatmulShape) => buildMatmul(device, traits, use, shape, formats.weights, tokens, tuning)
    const [embedBuilt, attention, copy, quantize, sampleBuilt, mQkv, mO, mLogits, ffn, experts] = await Promise.all([
      build(device, embedKernel(formats.weights), { hidden: c.hidden }),
      buildAttention(device, traits, attentionShape(c, formats.kv)),
      build(device, copyKv, cacheShape),
      formats.kv === 'int8' ? build(device, quantizeKv, cacheShape) : undefined,
      build(device, sample, { vocab: c.vocabSize, width: traits.software ? 32 : 256 }),
      matmul(qkv(formats.kv), qkvShape(c)),
      matmul(residual, residualShape(c, c.heads * c.headDim)),
      matmul(logits, logitsShape(c)),
      c.experts ? undefined : Promise.all([matmul(swiglu, swigluShape(c)), matmul(residual, residualShape(c, c.ffn))]),
      c.experts ? buildExperts(device, traits, c, memory, formats.weights, tuning) : undefined,
    ])
    const m = memory
    const group = (built: Built, ...storage: (GPUBuffer | GPUBufferBinding)[]) => bind(device, built, m.step, storage)
    // Ways to do the same thing have the same bindings, so one bind group serves them all.
    const product = (ways: Map<string, Built<MatmulShape>>, { data, scales }: Matrix, ...others: GPUBuffer[]) =>
      group([...ways.values()][0]! as Built, data, ...others, ...(scales ? [scales] : []))
    const anyAttention = Object.values(attention).find((built) => built !== undefined)! as Built
    const layers = m.layers.map(({ matrices, attentionNorm, ffnNorm, router, cache }, l): LayerGroups => ({
      copy: group(copy as Built, m.copies, cache),
      qkv: product(mQkv.ways, matrices.qkv, m.x, attentionNorm, m.rows, m.angles, m.q, quantize ? m.fresh : cache),
      quantize: quantize && group(quantize as Built, m.fresh, m.rows, cache),
      attention: group(anyAttention, m.q, cache, m.rows, m.tables, m.work, m.attended, m.partials),
      o: product(mO.ways, matrices.o, m.attended, m.x),
      ffn: experts
        ? {
            route: group(experts.route as Built, m.x, ffnNorm, router, m.routes, { buffer: m.seen, offset: (l * m.seen.size) / c.layers, size: m.seen.size / c.layers }),
            swiglu: product(experts.swiglu, matrices.gateUp, m.x, ffnNorm, m.middle, m.routes, m.order),
            sum: product(experts.sum, matrices.down, m.middle, m.x, m.routes),
            parts: product(experts.parts, matrices.down, m.middle, m.parts, m.routes, m.order),
          }
        : { swiglu: product(ffn![0].ways, matrices.gateUp, m.x, ffnNorm, m.middle), down: product(ffn![1].ways, matrices.down, m.middle, m.x) },
    }))
    const { data, scales } = m.embed
    return new Forward(
      traits.limits.maxComputeWorkgroupsPerDimension,
      { built: embedBuilt, group: group(embedBuilt as Built, data, m.rows, m.held, m.x, ...(scales ? [scales] : [])) },
      layers,
      { qkv: mQkv, o: mO, logits: mLogits, ffn: ffn && { swiglu: ffn[0], down: ffn[1] } },
      attention,
      { copy, quantize },
      experts,
      {
        logits: product(mLogits.ways, m.unembed, m.x, memory.finalNorm, m.logitRowList, m.logits),
        sample: sampleBuilt,
        sampleGroup: group(sampleBuilt as Built, m.samples, m.logits, m.held, m.tokens),
      },
    )
  }

  /** How a mixture takes so many assignments. */
  expertPlan(assignments: number): ExpertPlan {
    return expertPlan(this.experts!.plans, assignments, this.experts!.count)
  }

  /** Slots of every layer's cache copied. */
  recordCopies({ slot, load }: PlannedStep, to: Recorder): void {
    for (const layer of this.layers) this.record(to, this.cache.copy, layer.copy, slot, load)
  }

  /** The layers of one step: residual stream in, residual stream out. */
  recordLayers(step: PlannedStep, to: Recorder): void {
    const { slot, load } = step
    if (load.copies > 0) this.recordCopies(step, to)
    this.record(to, this.embedding.built, this.embedding.group, slot, load)
    for (const layer of this.layers) {
      this.recordMatmul(to, this.matmuls.qkv, layer.qkv, slot, load)
      if (this.cache.quantize) this.record(to, this.cache.quantize, layer.quantize!, slot, load)
      this.recordAttention(to, layer.attention, slot, load)
      this.recordMatmul(to, this.matmuls.o, layer.o, slot, load)
      if ('route' in layer.ffn) this.recordExperts(to, layer.ffn, slot, load)
      else {
        this.recordMatmul(to, this.matmuls.ffn!.swiglu, layer.ffn.swiglu, slot, load)
        this.recordMatmul(to, this.matmuls.ffn!.down, layer.ffn.down, slot, load)
      }
    }
  }

  /** One turn of logits and the draws from them. */
  recordHead({ slot, load }: PlannedStep['heads'][number], to: Recorder): void {
    this.recordMatmul(to, this.matmuls.logits, this.head.logits, slot, load)
    if (load.samples > 0) this.record(to, this.head.sample, this.head.sampleGroup, slot, load)
  }

  private recordAttention(to: Recorder, group: GPUBindGroup, slot: number, load: Load): void {
    const { row, decode, combine, prefill } = this.attention
    if (row) return this.record(to, row, group, slot, load)
    if (load.decodes > 0) this.record(to, decode!, group, slot, load)
    if (load.decodes > 0 && load.splits > 1) this.record(to, combine!, group, slot, load)
    if (load.tiles > 0) this.record(to, prefill!, group, slot, load)
  }

  private recordExperts(to: Recorder, groups: ExpertGroups, slot: number, load: Load): void {
    const { plans, route: routing, order: ordering, gather: gathering, orderGroup, gatherGroup, swiglu: up, sum, parts } = this.experts!
    const { tile, way } = plans.find((plan) => plan.tile === load.expertTile)!
    this.record(to, routing, groups.route, slot, load)
    if (tile === 1) {
      this.record(to, up.get(way)!, groups.swiglu, slot, load)
      this.record(to, sum.get(way)!, groups.sum, slot, load)
      return
    }
    this.record(to, ordering, orderGroup, slot, load)
    this.record(to, up.get(way)!, groups.swiglu, slot, load)
    this.record(to, parts.get(way)!, groups.parts, slot, load)
    this.record(to, gathering, gatherGroup, slot, load)
  }

  private recordMatmul(to: Recorder, { use, plan, ways }: Matmul, group: GPUBindGroup, slot: number, load: Load): void {
    this.record(to, ways.get(wayFor(plan, use.tokens(load)))!, group, slot, load)
  }

  private record<S>(to: Recorder, built: Built<S>, group: GPUBindGroup, slot: number, load: Load): void {
    to.dispatch(built as Built, group, slot, fold(built.kernel.grid(built.shape, load), this.most), load)
  }
}

async function buildMatmul(device: GPUDevice, traits: DeviceTraits, use: MatmulUse, shape: MatmulShape, format: MatrixFormat, tokens: number, tuning?: Tuning): Promise<Matmul> {
  const plan = tunedPlan(tuning, traits.key, shape, format) ?? defaultPlan(traits, shape)
  return { use, shape, plan, ways: await buildWays(device, use, shape, format, waysOf(plan, tokens)) }
}

async function buildWays(device: GPUDevice, use: MatmulUse, shape: MatmulShape, format: MatrixFormat, ways: string[]): Promise<Map<string, Built<MatmulShape>>> {
  const kernels = matmulKernels(use, format)
  return new Map(await Promise.all(ways.map(async (way) => [way, await build(device, kernels.find((k) => k.way === way)!, shape)] as const)))
}

async function buildExperts(device: GPUDevice, traits: DeviceTraits, c: ModelConfig, m: Memory, format: MatrixFormat, tuning?: Tuning): Promise<Experts> {
  const count = c.experts!
  const plans = expertPlans(traits, tunedPlan(tuning, traits.key, swigluShape(c), format))
  const together = plans.filter((plan) => plan.tile > 1).map((plan) => plan.way)
  const upShape: MatmulShape = { ...swigluShape(c), experts: count }
  const downShape: MatmulShape = { ...residualShape(c, c.ffn), experts: count }
  const [routeBuilt, orderBuilt, gatherBuilt, up, sum, parts] = await Promise.all([
    build(device, route, { experts: count, hidden: c.hidden, epsilon: c.rmsNormEps, chosen: m.marks }),
    build(device, order, { experts: count }),
    build(device, gather, { hidden: c.hidden }),
    buildWays(device, expertSwiglu, upShape, format, plans.map((plan) => plan.way)),
    buildWays(device, expertSum, downShape, format, [plans[0]!.way]),
    buildWays(device, expertParts, downShape, format, together),
  ])
  return {
    plans, count, route: routeBuilt, order: orderBuilt, gather: gatherBuilt, swiglu: up, sum, parts,
    orderGroup: bind(device, orderBuilt as Built, m.step, [m.routes, m.order]),
    gatherGroup: bind(device, gatherBuilt as Built, m.step, [m.parts, m.x]),
  }
}

async function buildAttention(device: GPUDevice, traits: DeviceTraits, shape: AttentionShape): Promise<Attention> {
  const kernels = attentionKernels(shape)
  const built = Object.entries(kernels).map(async ([name, k]) => [name, k.suits(traits, shape) ? await build(device, k, shape) : undefined] as const)
  return Object.fromEntries(await Promise.all(built)) as Attention
}
