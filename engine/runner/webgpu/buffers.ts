import { RunnerError } from '../runner'
import { wordsOf } from './device'

/**
 * Plans the buffers of one runner and makes them all at once, so that too big a model is refused before
 * anything is allocated and what the driver refuses comes back as one RunnerError.
 */
export class BufferPlan {
  private readonly wanted: { label: string; bytes: number; usage: GPUBufferUsageFlags }[] = []
  private made: GPUBuffer[] | undefined

  constructor(private readonly device: GPUDevice, private readonly modelName: string) {}

  /** Adds a buffer; its number is its place in what `allocate` returns. `remedy` ends the message when it cannot be had. */
  add(label: string, bytes: number, usage: GPUBufferUsageFlags, remedy = 'Choose a smaller model.'): number {
    const { maxBufferSize, maxStorageBufferBindingSize } = this.device.limits
    const offered = usage & GPUBufferUsage.STORAGE ? Math.min(maxBufferSize, maxStorageBufferBindingSize) : maxBufferSize
    const size = Math.max(16, Math.ceil(bytes / 16) * 16)
    if (size > offered) {
      throw new RunnerError(`${this.modelName} needs ${megabytes(size)} in one buffer (${label}), the graphics card offers ${megabytes(offered)}. ${remedy}`, 'out-of-memory')
    }
    return this.wanted.push({ label, bytes: size, usage }) - 1
  }

  get bytes(): number {
    return this.wanted.reduce((sum, b) => sum + b.bytes, 0)
  }

  /** Throws RunnerError('out-of-memory') naming what was needed; nothing stays allocated then. */
  async allocate(): Promise<GPUBuffer[]> {
    this.device.pushErrorScope('validation')
    this.device.pushErrorScope('out-of-memory')
    const made: GPUBuffer[] = []
    let thrown: unknown
    try {
      for (const { label, bytes, usage } of this.wanted) made.push(this.device.createBuffer({ label, size: bytes, usage }))
    } catch (cause) {
      thrown = cause
    }
    const outOfMemory = this.device.popErrorScope()
    const invalid = this.device.popErrorScope()
    const error = thrown ?? (await outOfMemory) ?? (await invalid)
    this.made = made
    if (error) {
      this.free()
      throw new RunnerError(`${this.modelName} needs ${megabytes(this.bytes)} of graphics memory, which the graphics card could not give (${wordsOf(error)}). Choose a smaller model or close other pages that use the card.`, 'out-of-memory', { cause: error })
    }
    return made
  }

  free(): void {
    for (const buffer of this.made ?? []) buffer.destroy()
    this.made = undefined
  }
}

/** "412 MB", in the megabytes (10⁶) that graphics cards are sold by. */
export function megabytes(bytes: number): string {
  const mb = bytes / 1e6
  return `${mb >= 10 ? Math.ceil(mb) : Math.ceil(mb * 10) / 10} MB`
}
