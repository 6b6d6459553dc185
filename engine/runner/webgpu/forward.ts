import type { ModelConfig } from '../../model/config'
import type { DeviceTraits } from './device'
import type { PlannedStep } from './batch'
import { bind, build, fold, type Built, type Kernel, type Load } from './kernel'
import { attentionDecode, attentionPrefill, attentionRow, attentionShape, type AttentionShape } from './kernels/attention'
import { embed } from './kernels/embed'
import { logits, logitsShape } from './kernels/logits'
import { matmulKernels, type MatmulKernel, type MatmulShape, type MatmulUse } from './kernels/matmul'
import { qkv, qkvShape } from './kernels/qkv'
import { residual, residualShape } from './kernels/residual'
import { sample, type SampleShape } from './kernels/sample'
import { swiglu, swigluShape } from './kernels/swiglu'
import type { Memory } from './memory'

/** Receives the dispatches of a step in order. */
export interface Recorder {
  dispatch(built: Built, group: GPUBindGroup, slot: number, grid: [number, number, number], load: Load): void
}

/** One matmul of the model, built in every way that suits the device. */
interface Matmul {
  use: MatmulUse
  shape: MatmulShape
  ways: Built<MatmulShape>[]
}

interface LayerGroups {
  qkv: GPUBindGroup
  attention: GPUBindGroup
  o: GPUBindGroup
  swiglu: GPUBindGroup
  down: GPUBindGroup
}

/**
 * The transformer as a list of dispatches: five a layer for decodes, and three around them. All pipelines and
 * bind groups exist before the first token; a step only records them.
 */
export class Forward {
  private constructor(
    private readonly most: number,
    private readonly embedding: { built: Built<{ hidden: number }>; group: GPUBindGroup },
    private readonly layers: LayerGroups[],
    private readonly matmuls: { qkv: Matmul; o: Matmul; swiglu: Matmul; down: Matmul; logits: Matmul },
    private readonly attention: Built<AttentionShape>[],
    private readonly head: { logits: GPUBindGroup; sample: Built<SampleShape>; sampleGroup: GPUBindGroup },
    /** Whether longer chunks get tiles of their own. */
    readonly tiles: boolean,
  ) {}

  static async build(device: GPUDevice, traits: DeviceTraits, c: ModelConfig, memory: Memory): Promise<Forward> {
    const shape = attentionShape(c)
    const [embedBuilt, attention, sampleBuilt, ...matmuls] = await Promise.all([
      build(device, embed, { hidden: c.hidden }),
      Promise.all([attentionDecode, attentionPrefill, attentionRow].filter((k) => k.suits(traits, shape)).map((k) => build(device, k, shape))),
      build(device, sample, { vocab: c.vocabSize, width: traits.software ? 32 : 256 }),
      buildMatmul(device, traits, qkv, qkvShape(c)),
      buildMatmul(device, traits, residual, residualShape(c, c.heads * c.headDim)),
      buildMatmul(device, traits, swiglu, swigluShape(c)),
      buildMatmul(device, traits, residual, residualShape(c, c.ffn)),
      buildMatmul(device, traits, logits, logitsShape(c)),
    ])
    const [mQkv, mO, mSwiglu, mDown, mLogits] = matmuls as [Matmul, Matmul, Matmul, Matmul, Matmul]
    const m = memory
    // Ways to do the same thing have the same bindings, so one bind group serves them all.
    const group = (built: Built, ...storage: GPUBuffer[]) => bind(device, built, m.step, storage)
    const layers = m.layers.map(({ matrices, attentionNorm, ffnNorm, keys, values }): LayerGroups => ({
      qkv: group(mQkv.ways[0]! as Built, matrices.qkv, m.x, attentionNorm, m.rows, m.angles, m.q, keys, values),
      attention: group(attention[0]! as Built, m.q, keys, values, m.rows, m.tables, m.work, m.attended),
      o: group(mO.ways[0]! as Built, matrices.o, m.attended, m.x),
      swiglu: group(mSwiglu.ways[0]! as Built, matrices.gateUp, m.x, ffnNorm, m.middle),
      down: group(mDown.ways[0]! as Built, matrices.down, m.middle, m.x),
    }))
    return new Forward(
      traits.limits.maxComputeWorkgroupsPerDimension,
      { built: embedBuilt, group: group(embedBuilt as Built, m.rows, m.held, m.embed, m.x) },
      layers,
      { qkv: mQkv, o: mO, swiglu: mSwiglu, down: mDown, logits: mLogits },
      attention,
      {
        logits: group(mLogits.ways[0]! as Built, m.unembed, m.x, memory.finalNorm, m.logitRowList, m.logits),
        sample: sampleBuilt,
        sampleGroup: group(sampleBuilt as Built, m.samples, m.logits, m.held, m.tokens),
      },
      attention.some((a) => a.kernel === attentionPrefill),
    )
  }

  /** The layers of one step: residual stream in, residual stream out. */
  recordLayers({ slot, load }: PlannedStep, to: Recorder): void {
    this.record(to, this.embedding.built, this.embedding.group, slot, load)
    for (const layer of this.layers) {
      this.recordMatmul(to, this.matmuls.qkv, layer.qkv, slot, load)
      for (const way of this.attention) {
        const needed = way.kernel === attentionDecode ? load.decodes : way.kernel === attentionPrefill ? load.tiles : load.rows
        if (needed > 0) this.record(to, way, layer.attention, slot, load)
      }
      this.recordMatmul(to, this.matmuls.o, layer.o, slot, load)
      this.recordMatmul(to, this.matmuls.swiglu, layer.swiglu, slot, load)
      this.recordMatmul(to, this.matmuls.down, layer.down, slot, load)
    }
  }

  /** One turn of logits and the draws from them. */
  recordHead({ slot, load }: PlannedStep['heads'][number], to: Recorder): void {
    this.recordMatmul(to, this.matmuls.logits, this.head.logits, slot, load)
    if (load.samples > 0) this.record(to, this.head.sample, this.head.sampleGroup, slot, load)
  }

  private recordMatmul(to: Recorder, { use, shape, ways }: Matmul, group: GPUBindGroup, slot: number, load: Load): void {
    const tokens = use.tokens(load)
    const way = ways.find((w) => (w.kernel as MatmulKernel).takes(shape, tokens)) ?? ways.at(-1)!
    this.record(to, way, group, slot, load)
  }

  private record<S>(to: Recorder, built: Built<S>, group: GPUBindGroup, slot: number, load: Load): void {
    to.dispatch(built as Built, group, slot, fold(built.kernel.grid(built.shape, load), this.most), load)
  }
}

async function buildMatmul(device: GPUDevice, traits: DeviceTraits, use: MatmulUse, shape: MatmulShape): Promise<Matmul> {
  const suiting = matmulKernels(use).filter((k: Kernel<MatmulShape>) => k.suits(traits, shape))
  return { use, shape, ways: await Promise.all(suiting.map((k) => build(device, k, shape))) }
}
