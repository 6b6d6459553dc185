/** One place that results are copied to and mapped from. */
export interface ReadbackSlot {
  /** Sampled tokens, then timestamps. */
  results: GPUBuffer
  /** Made and grown when logits, or who was sent to which expert, are asked for. */
  logits: GPUBuffer | undefined
  experts: GPUBuffer | undefined
}

/**
 * A few readback buffers in turn, so that a batch can be submitted while the one before is still being mapped.
 * Slots are given out in the order they were asked for, which keeps batches in order too.
 */
export class ReadbackRing {
  private readonly free: ReadbackSlot[]
  private readonly waiting: ((slot: ReadbackSlot) => void)[] = []
  private destroyed = false

  constructor(private readonly device: GPUDevice, bytes: number, count: number) {
    this.free = Array.from({ length: count }, (_, i) => ({
      results: device.createBuffer({ label: `results ${i}`, size: bytes, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ }),
      logits: undefined,
      experts: undefined,
    }))
  }

  async take(): Promise<ReadbackSlot> {
    const slot = this.free.pop()
    return slot ?? new Promise((resolve) => this.waiting.push(resolve))
  }

  give(slot: ReadbackSlot): void {
    const next = this.waiting.shift()
    if (next) next(slot)
    else if (this.destroyed) destroySlot(slot)
    else this.free.push(slot)
  }

  /** One of the slot's other buffers, made or grown to hold `bytes`. */
  holding(slot: ReadbackSlot, what: 'logits' | 'experts', bytes: number): GPUBuffer {
    const held = slot[what]
    if (held && held.size >= bytes) return held
    held?.destroy()
    return (slot[what] = this.device.createBuffer({ label: `${what} readback`, size: bytes, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ }))
  }

  /** Slots still out are destroyed when they come back. */
  destroy(): void {
    this.destroyed = true
    this.free.splice(0).forEach(destroySlot)
  }
}

function destroySlot({ results, logits, experts }: ReadbackSlot): void {
  results.destroy()
  logits?.destroy()
  experts?.destroy()
}
