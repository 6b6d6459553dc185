import type { Built, Load } from './kernel'

/** Time of one kernel dispatch, with what it had to do. */
export interface KernelTime {
  name: string
  ms: number
  flops: number
  bytes: number
}

/** Timestamps at the ends of compute passes; made once, used for every batch. */
export class PassTimes {
  private readonly queries: GPUQuerySet
  private readonly resolved: GPUBuffer

  constructor(device: GPUDevice, private readonly passes: number) {
    this.queries = device.createQuerySet({ label: 'pass times', type: 'timestamp', count: 2 * passes })
    this.resolved = device.createBuffer({ label: 'pass times', size: PassTimes.bytes(passes), usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC })
  }

  static bytes(passes: number): number {
    return 16 * passes
  }

  /** What pass number `pass` writes; undefined beyond the last one there is room for. */
  writes(pass: number): GPUComputePassTimestampWrites | undefined {
    if (pass >= this.passes) return undefined
    return { querySet: this.queries, beginningOfPassWriteIndex: 2 * pass, endOfPassWriteIndex: 2 * pass + 1 }
  }

  copy(encoder: GPUCommandEncoder, passes: number, to: GPUBuffer, offset: number): void {
    encoder.resolveQuerySet(this.queries, 0, 2 * passes, this.resolved, 0)
    encoder.copyBufferToBuffer(this.resolved, 0, to, offset, PassTimes.bytes(passes))
  }

  destroy(): void {
    this.queries.destroy()
    this.resolved.destroy()
  }
}

/**
 * Ends of the passes as fractions of the whole, ascending to 1; undefined where the timer is too coarse to
 * tell (browsers round timestamps, some to 0.1 ms).
 */
export function endsOf(nanoseconds: BigUint64Array): number[] | undefined {
  const start = nanoseconds[0]!
  const passes = nanoseconds.length / 2
  const whole = Number(nanoseconds[2 * passes - 1]! - start)
  if (!(whole > 0)) return undefined
  const ends: number[] = []
  for (let p = 0; p < passes; p++) {
    const end = Number(nanoseconds[2 * p + 1]! - start) / whole
    ends.push(Math.min(1, Math.max(end, ends.at(-1) ?? 0)))
  }
  return ends
}

export function kernelTime({ kernel, shape }: Built, load: Load, begin: bigint, end: bigint): KernelTime {
  return { name: kernel.name, ms: Math.max(0, Number(end - begin)) / 1e6, flops: kernel.flops(shape, load), bytes: kernel.bytes(shape, load) }
}
