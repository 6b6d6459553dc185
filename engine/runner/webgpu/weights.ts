import { layerTensorNumber, routerNumber, syntheticScale } from '../../model/synthetic'
import type { Model, Weights } from '../../model/weights'
import { pcg } from '../../model/random'
import { bind, build, fold, NO_LOAD, STEP_SLOT, type Built } from './kernel'
import { synthesize } from './kernels/synthesize'
import { encodeMatrix } from './encode'
import { F32, type MatrixFormat } from './kernels/weights'
import type { Matrix, Memory } from './memory'
import { packBiases, packedMatrices, packMatrix, type MatrixName, type Packing } from './packing'

/** Bytes handed to the driver at a time, so that its own copy of them stays small. */
const UPLOAD_BYTES = 16 * 2 ** 20

/** Puts the model's weights where the kernels read them: uploads trained ones, makes synthetic ones on the device. */
export async function loadWeights(device: GPUDevice, model: Model, memory: Memory, format: MatrixFormat): Promise<void> {
  if (model.source.kind === 'tensors') upload(device.queue, model, model.source.weights, memory, format)
  else await generate(device, model, model.source.seed, memory, format)
}

function upload(queue: GPUQueue, model: Model, weights: Weights, memory: Memory, format: MatrixFormat): void {
  const c = model.config
  const matrix = (to: Matrix, values: Float32Array, columns: number) => {
    const { data, scales } = encodeMatrix(format, values, columns)
    write(queue, to.data, data)
    if (scales && to.scales) write(queue, to.scales, scales)
  }
  matrix(memory.embed, weights.embed, c.hidden)
  if (!c.tied) matrix(memory.unembed, weights.unembed, c.hidden)
  write(queue, memory.finalNorm, weights.finalNorm)
  const matrices = packedMatrices(c)
  for (const [l, layer] of weights.layers.entries()) {
    const buffers = memory.layers[l]!
    write(queue, buffers.attentionNorm, layer.attentionNorm)
    if (c.qkvBias) write(queue, buffers.attentionNorm, packBiases(c, layer), c.hidden)
    write(queue, buffers.ffnNorm, layer.ffnNorm)
    if (layer.router) write(queue, buffers.router, layer.router)
    for (const name of Object.keys(matrices) as MatrixName[]) {
      matrix(buffers.matrices[name], packMatrix(matrices[name], layer), matrices[name].columns)
    }
  }
}

/** `at`: where in the buffer, counted in values. */
function write(queue: GPUQueue, buffer: GPUBuffer, values: Float32Array | Uint32Array, at = 0): void {
  const step = UPLOAD_BYTES / values.BYTES_PER_ELEMENT
  for (let from = 0; from < values.length; from += step) {
    const part = values.subarray(from, from + step)
    queue.writeBuffer(buffer, (at + from) * values.BYTES_PER_ELEMENT, part as Float32Array<ArrayBuffer>)
  }
}

interface Fill extends Packing {
  matrix: Matrix
  /** Number of the tensor, as in synthetic.ts. */
  tensor: number
  rows: number
  columns: number
}

async function generate(device: GPUDevice, model: Model, seed: number, memory: Memory, format: MatrixFormat): Promise<void> {
  const c = model.config
  const plain: Packing = { base: 0, group: 1, stride: 1 }
  const fills: Fill[] = [{ matrix: memory.embed, tensor: 0, rows: c.vocabSize, columns: c.hidden, ...plain }]
  if (!c.tied) fills.push({ matrix: memory.unembed, tensor: 1, rows: c.vocabSize, columns: c.hidden, ...plain })
  const routers: Fill[] = []
  const matrices = packedMatrices(c)
  for (const [l, buffers] of memory.layers.entries()) {
    if (c.experts) routers.push({ matrix: { data: buffers.router }, tensor: routerNumber(c, l), rows: c.experts, columns: c.hidden, ...plain })
    for (const name of Object.keys(matrices) as MatrixName[]) {
      const { columns, parts } = matrices[name]
      for (const { tensor, ...part } of parts) fills.push({ matrix: buffers.matrices[name], tensor: layerTensorNumber(l, tensor), columns, ...part })
    }
  }
  const ones = new Float32Array(c.hidden).fill(1)
  for (const norm of [memory.finalNorm, ...memory.layers.flatMap((l) => [l.attentionNorm, l.ffnNorm])]) device.queue.writeBuffer(norm, 0, ones)
  await fillSynthetic(device, seed, fills, format)
  if (routers.length > 0) await fillSynthetic(device, seed, routers)
}

/** Fills matrices with weights of the counter-based generator (synthetic.ts), each value where its packing puts it. */
export async function fillSynthetic(device: GPUDevice, seed: number, fills: readonly Fill[], format: MatrixFormat = F32): Promise<void> {
  const kernel = synthesize(format)
  const built = new Map(await Promise.all([...new Set(fills.map((fill) => fill.columns))].map(async (columns) => [columns, await build(device, kernel, { columns })] as const)))
  const slots = new ArrayBuffer(fills.length * STEP_SLOT)
  for (const [i, fill] of fills.entries()) {
    const words = new Uint32Array(slots, i * STEP_SLOT, 7)
    words.set([pcg((seed + fill.tensor) >>> 0), fill.rows, fill.columns, 0, fill.base, fill.group, fill.stride])
    new Float32Array(slots, i * STEP_SLOT, 7)[3] = syntheticScale(fill.columns)
  }
  const parameters = device.createBuffer({ label: 'synthetic weights', size: slots.byteLength, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST })
  device.queue.writeBuffer(parameters, 0, slots)
  const encoder = device.createCommandEncoder({ label: 'synthetic weights' })
  const pass = encoder.beginComputePass()
  for (const [i, { rows, columns, matrix }] of fills.entries()) {
    const load = { ...NO_LOAD, rows: rows * columns }
    const pipeline = built.get(columns)!
    pass.setPipeline(pipeline.pipeline)
    pass.setBindGroup(0, bind(device, pipeline as Built, parameters, [matrix.data, ...(matrix.scales ? [matrix.scales] : [])]), [i * STEP_SLOT])
    pass.dispatchWorkgroups(...fold(kernel.grid({ columns }, load), device.limits.maxComputeWorkgroupsPerDimension))
  }
  pass.end()
  device.queue.submit([encoder.finish()])
  parameters.destroy() // takes effect after the work submitted above
}
