import { ModelError } from './config'
import { brainToFloat, halfToFloat } from './half'

/** One tensor of a file: where it lies and how to read it. */
interface Entry {
  dtype: Dtype
  shape: number[]
  /** Byte offsets within the data section. */
  begin: number
  end: number
}

const WIDTH = { F32: 4, F16: 2, BF16: 2 } as const
type Dtype = keyof typeof WIDTH

/** Longest header that is believed; the format's own limit. */
const MAX_HEADER = 100_000_000

/**
 * A safetensors file: 8 bytes of header length (little-endian), a JSON header, the data. Everything the
 * header says about lengths and offsets is checked before any of it is used; a lie throws ModelError
 * naming the tensor.
 */
export class Safetensors {
  readonly metadata: Record<string, string>
  private readonly entries = new Map<string, Entry>()
  private readonly dataStart: number

  constructor(private readonly buffer: ArrayBuffer, private readonly file = 'model.safetensors') {
    if (buffer.byteLength < 8) throw new ModelError(`${file}: ${buffer.byteLength} bytes is too short for a safetensors file`)
    const length = new DataView(buffer).getBigUint64(0, true)
    if (length > BigInt(MAX_HEADER) || 8n + length > BigInt(buffer.byteLength)) {
      throw new ModelError(`${file}: the header claims ${length} bytes, the file has ${buffer.byteLength}; it is truncated or not a safetensors file`)
    }
    this.dataStart = 8 + Number(length)
    const header = parseHeader(new Uint8Array(buffer, 8, Number(length)), file)
    this.metadata = (header['__metadata__'] ?? {}) as Record<string, string>
    for (const [name, raw] of Object.entries(header)) if (name !== '__metadata__') this.entries.set(name, this.check(name, raw))
    this.checkOverlap()
  }

  get names(): string[] {
    return [...this.entries.keys()]
  }

  has(name: string): boolean {
    return this.entries.has(name)
  }

  /** The tensor as 32-bit floats, row-major. Throws ModelError when it is missing or has another shape. */
  float32(name: string, shape: readonly number[]): Float32Array {
    const entry = this.entries.get(name)
    if (!entry) throw new ModelError(`${this.file}: tensor ${name} is missing`)
    if (entry.shape.length !== shape.length || entry.shape.some((n, i) => n !== shape[i])) {
      throw new ModelError(`${this.file}: tensor ${name} is [${entry.shape.join(', ')}], config.json asks for [${shape.join(', ')}]`)
    }
    // Copied, so that alignment does not matter and the file's buffer can be let go.
    const bytes = this.buffer.slice(this.dataStart + entry.begin, this.dataStart + entry.end)
    switch (entry.dtype) {
      case 'F32': return new Float32Array(bytes)
      case 'F16': return halfToFloat(new Uint16Array(bytes))
      case 'BF16': return brainToFloat(new Uint16Array(bytes))
    }
  }

  private check(name: string, raw: unknown): Entry {
    const fail = (what: string): never => {
      throw new ModelError(`${this.file}: tensor ${name}: ${what}`)
    }
    if (typeof raw !== 'object' || raw === null) return fail('its entry is not an object')
    const { dtype, shape, data_offsets: offsets } = raw as { dtype?: unknown; shape?: unknown; data_offsets?: unknown }
    if (typeof dtype !== 'string' || !(dtype in WIDTH)) return fail(`type ${JSON.stringify(dtype)} is not one of ${Object.keys(WIDTH).join(', ')}`)
    if (!Array.isArray(shape) || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) return fail(`shape ${JSON.stringify(shape)} is not a list of sizes`)
    if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every((n) => Number.isSafeInteger(n))) return fail('data_offsets is not a pair of numbers')
    const [begin, end] = offsets as [number, number]
    const available = this.buffer.byteLength - this.dataStart
    if (begin < 0 || end < begin || end > available) return fail(`offsets ${begin} … ${end} are outside the ${available} bytes of data; the file is truncated or damaged`)
    const bytes = (shape as number[]).reduce((a, b) => a * b, 1) * WIDTH[dtype as Dtype]
    if (bytes !== end - begin) return fail(`shape [${(shape as number[]).join(', ')}] in ${dtype} needs ${bytes} bytes, offsets give ${end - begin}`)
    return { dtype: dtype as Dtype, shape: shape as number[], begin, end }
  }

  private checkOverlap(): void {
    const byBegin = [...this.entries].sort((a, b) => a[1].begin - b[1].begin)
    for (let i = 1; i < byBegin.length; i++) {
      if (byBegin[i]![1].begin < byBegin[i - 1]![1].end) throw new ModelError(`${this.file}: tensors ${byBegin[i - 1]![0]} and ${byBegin[i]![0]} overlap`)
    }
  }
}

function parseHeader(bytes: Uint8Array, file: string): Record<string, unknown> {
  let header: unknown
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new ModelError(`${file}: the header is not JSON; the file is damaged or not a safetensors file`, { cause })
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) throw new ModelError(`${file}: the header is not a JSON object`)
  return header as Record<string, unknown>
}
