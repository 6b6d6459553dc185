import type { ModelConfig } from '$engine/model/config'
import type { Weights } from '$engine/model/weights'
import schema from './onnx.proto?raw'
import { peerPackage } from './packages'

const FLOAT = 1
const INT32 = 6
const INT64 = 7

interface Node {
  input: string[]
  output: string[]
  opType: string
  domain?: string
  attribute?: { name: string; type: 1 | 2 | 7; i?: number; f?: number; ints?: number[] }[]
}

/** What is needed of protobufjs. */
interface Protobuf {
  parse(source: string): { root: { lookupType(name: string): { fromObject(o: object): unknown; encode(m: unknown): { finish(): Uint8Array } } } }
}

/**
 * A dense model as an ONNX graph of ONNX Runtime's own fused operators, as its model builder for language models makes
 * them: GroupQueryAttention with rotary embedding inside and packed q, k, v, SkipSimplifiedLayerNormalization, and the
 * largest logit's id for an output, so that no logits leave the runtime.
 *
 * Inputs: input_ids (1, T), seqlens_k (1) = length so far − 1, total_length () and past_key_l, past_value_l (1, KV, P, hd).
 * Outputs: next (1) and present_key_l, present_value_l (1, KV, P + T, hd).
 */
export async function exportOnnx(c: ModelConfig, w: Weights): Promise<Uint8Array> {
  const protobuf = await peerPackage<{ default?: Protobuf } & Protobuf>('protobufjs')
  const model = (protobuf.default ?? protobuf).parse(schema).root.lookupType('onnx.ModelProto')
  const nodes: Node[] = []
  const initializers: object[] = []
  const tensor = (name: string, dims: number[], values: Float32Array | BigInt64Array) => {
    const dataType = values instanceof Float32Array ? FLOAT : INT64
    initializers.push({ dims, dataType, name, rawData: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) })
    return name
  }
  const node = (opType: string, input: string[], output: string[], attributes: Record<string, number> = {}, domain = ''): string => {
    const attribute = Object.entries(attributes).map(([name, value]) => (Number.isInteger(value) ? { name, type: 2 as const, i: value } : { name, type: 1 as const, f: value }))
    nodes.push({ input, output, opType, domain, attribute })
    return output[0]!
  }
  /** x · Wᵀ of rows stacked one matrix below the other. */
  const matmul = (x: string, name: string, cols: number, ...matrices: Float32Array[]) =>
    node('MatMul', [x, tensor(`${name}.weight`, [cols, matrices.reduce((n, m) => n + m.length, 0) / cols], transposed(cols, matrices))], [name])

  const { heads, kvHeads, headDim, hidden } = c
  const half = headDim / 2
  const angle = (p: number, i: number) => p * c.ropeTheta ** (-i / half)
  const table = (f: (x: number) => number) => Float32Array.from({ length: c.maxPositions * half }, (_, i) => f(angle(Math.floor(i / half), i % half)))
  tensor('cos', [c.maxPositions, half], table(Math.cos))
  tensor('sin', [c.maxPositions, half], table(Math.sin))

  let x = node('Gather', [tensor('embed', [c.vocabSize, hidden], w.embed), 'input_ids'], ['x'])
  let norm = node('SimplifiedLayerNormalization', [x, tensor('norm.0', [hidden], w.layers[0]!.attentionNorm)], ['h.0'], { axis: -1, epsilon: c.rmsNormEps, stash_type: 1 })
  for (const [l, layer] of w.layers.entries()) {
    const qkv = matmul(norm, `qkv.${l}`, hidden, layer.q, layer.k, layer.v)
    const attended = node(
      'GroupQueryAttention', [qkv, '', '', `past_key_${l}`, `past_value_${l}`, 'seqlens_k', 'total_length', 'cos', 'sin'],
      [`attended.${l}`, `present_key_${l}`, `present_value_${l}`], { num_heads: heads, kv_num_heads: kvHeads, do_rotary: 1 }, 'com.microsoft')
    const o = matmul(attended, `o.${l}`, heads * headDim, layer.o)
    const skip = (name: string, add: string, weight: Float32Array) => {
      const normed = node('SkipSimplifiedLayerNormalization', [x, add, tensor(`${name}.weight`, [hidden], weight)], [name, '', '', `${name}.sum`], { epsilon: c.rmsNormEps }, 'com.microsoft')
      x = `${name}.sum`
      return normed
    }
    const h = skip(`ffn.${l}`, o, layer.ffnNorm)
    const gate = matmul(h, `gate.${l}`, hidden, layer.gate)
    const silu = node('Mul', [gate, node('Sigmoid', [gate], [`sigmoid.${l}`])], [`silu.${l}`])
    const middle = node('Mul', [silu, matmul(h, `up.${l}`, hidden, layer.up)], [`middle.${l}`])
    norm = skip(`h.${l + 1}`, matmul(middle, `down.${l}`, c.ffn, layer.down), w.layers[l + 1]?.attentionNorm ?? w.finalNorm)
  }
  const last = node('Gather', [norm, tensor('minus_one', [], BigInt64Array.of(-1n))], ['last'], { axis: 1 }) // (1, d)
  node('ArgMax', [matmul(last, 'logits', hidden, w.unembed)], ['next'], { axis: -1, keepdims: 0 })

  const value = (name: string, elemType: number, ...dims: (number | string)[]) => ({
    name, type: { tensorType: { elemType, shape: { dim: dims.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d })) } } },
  })
  const caches = (prefix: string, length: string) =>
    w.layers.flatMap((_, l) => ['key', 'value'].map((kind) => value(`${prefix}_${kind}_${l}`, FLOAT, 1, kvHeads, length, headDim)))
  return model.encode(model.fromObject({
    irVersion: 10,
    producerName: 'token-expressway',
    opsetImport: [{ domain: '', version: 21 }, { domain: 'com.microsoft', version: 1 }],
    graph: {
      name: 'decoder', node: nodes, initializer: initializers,
      input: [value('input_ids', INT64, 1, 'T'), value('seqlens_k', INT32, 1), value('total_length', INT32), ...caches('past', 'P')],
      output: [value('next', INT64, 1), ...caches('present', 'S')],
    },
  })).finish()
}

/** Matrices (rows, cols) one below the other, as one (cols, rows). */
function transposed(cols: number, matrices: readonly Float32Array[]): Float32Array {
  const rows = matrices.reduce((n, m) => n + m.length / cols, 0)
  const out = new Float32Array(cols * rows)
  let first = 0
  for (const m of matrices) {
    for (let r = 0; r < m.length / cols; r++) for (let k = 0; k < cols; k++) out[k * rows + first + r] = m[r * cols + k]!
    first += m.length / cols
  }
  return out
}
