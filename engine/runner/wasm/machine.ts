import { RunnerError } from '../runner'
import { canShareMemory, defaultThreads, pickVariant } from './features'
import { ARGUMENTS, GRAIN, KERNEL, UNITS } from './jobs'
import { wasmBytes, type Variant } from './source'
import { gatherTeam, type Team } from './team'

export interface MachineOptions {
  /** Threads that share the work, this one included (default: half of the cores, where memory can be shared; else 1). */
  threads?: number
  variant?: Variant | 'auto'
}

interface Exports {
  execute(thread: number, from: number, to: number): void
  argmax(row: number, count: number): number
  lead?(mayBlock: number): number
}

const PAGE = 65536
/** Of WebAssembly with 32-bit addresses. */
const MOST_BYTES = 2 ** 32
/** More would claim more than they compute. */
export const MOST_THREADS = 64
/** Claims a thread makes of a job, about: fewer cost less, more even out better. */
const CLAIMS = 4

/** A linear memory, the kernels compiled onto it, and the threads that run them. */
export class Machine {
  readonly f32: Float32Array<ArrayBuffer>
  readonly u32: Uint32Array<ArrayBuffer>
  readonly u16: Uint16Array<ArrayBuffer>
  readonly u8: Uint8Array<ArrayBuffer>

  private constructor(
    readonly variant: Variant,
    readonly threads: number,
    memory: WebAssembly.Memory,
    private readonly exports: Exports,
    private readonly team: Team | undefined,
    private readonly mayBlock: boolean,
  ) {
    // Shared or not, only this thread writes through these views.
    const buffer = memory.buffer as ArrayBuffer
    this.f32 = new Float32Array(buffer)
    this.u32 = new Uint32Array(buffer)
    this.u16 = new Uint16Array(buffer)
    this.u8 = new Uint8Array(buffer)
  }

  /**
   * Throws RunnerError('unsupported') where the engine lacks what was asked for, and
   * RunnerError('out-of-memory') where it gives no such memory; `what` names who wants it.
   * Where nobody asked for a number of threads and helpers cannot be started, one thread does it all.
   */
  static async create(bytes: number, what: string, options: MachineOptions = {}): Promise<Machine> {
    const variant = pickVariant(options.variant)
    const threads = options.threads ?? defaultThreads()
    if (!(Number.isInteger(threads) && threads >= 1 && threads <= MOST_THREADS)) throw new RunnerError(`threads must be 1 … ${MOST_THREADS}, got ${threads}`, 'unsupported')
    if (threads === 1) return Machine.alone(bytes, what, variant)
    if (!canShareMemory()) throw new RunnerError(`${threads} threads need a cross-origin isolated page (COOP and COEP headers). Run with one thread.`, 'unsupported')
    const memory = allocate(bytes, what, true)
    const module = await WebAssembly.compile(wasmBytes(variant, true))
    const { exports } = await WebAssembly.instantiate(module, { env: { memory } })
    try {
      const team = await gatherTeam(module, memory, threads - 1)
      return new Machine(variant, threads, memory, exports as unknown as Exports, team, canBlock(memory))
    } catch (error) {
      if (options.threads !== undefined) throw error
      return Machine.alone(bytes, what, variant)
    }
  }

  private static async alone(bytes: number, what: string, variant: Variant): Promise<Machine> {
    const memory = allocate(bytes, what, false)
    const { instance } = await WebAssembly.instantiate(wasmBytes(variant, false), { env: { memory } })
    return new Machine(variant, 1, memory, instance.exports as unknown as Exports, undefined, false)
  }

  /**
   * Runs units [0, units) of a kernel (jobs.ts), shared out over the threads. Arguments as in
   * assembly/execute.ts, floats as floatBits. Throws RunnerError('device-lost') when a helper is gone.
   */
  launch(kernel: number, units: number, ...args: number[]): void {
    const { u32 } = this
    u32[KERNEL / 4] = kernel
    for (let i = 0; i < args.length; i++) u32[ARGUMENTS / 4 + i] = args[i]!
    if (this.team === undefined || units === 1) return this.exports.execute(0, 0, units)
    u32[UNITS / 4] = units
    u32[GRAIN / 4] = Math.ceil(units / (this.threads * CLAIMS))
    if (this.team.lost !== undefined || !this.exports.lead!(this.mayBlock ? 1 : 0)) {
      throw new RunnerError(`A helper thread of the WebAssembly runner is gone (${this.team.lost ?? 'it stopped answering'}). Open the runner again, with one thread if it happens again.`, 'device-lost')
    }
  }

  argmax(row: number, count: number): number {
    return this.exports.argmax(row, count)
  }

  dispose(): void {
    this.team?.dismiss()
  }
}

const word = new Float32Array(1)
const wordBits = new Uint32Array(word.buffer)

/** A 32-bit float as the argument of a launch. */
export function floatBits(value: number): number {
  word[0] = value
  return wordBits[0]!
}

function allocate(bytes: number, what: string, shared: boolean): WebAssembly.Memory {
  const megabytes = Math.ceil(bytes / 2 ** 20)
  const pages = Math.ceil(bytes / PAGE)
  const advice = 'Take a smaller model or fewer KV blocks.'
  if (bytes > MOST_BYTES) throw new RunnerError(`${what} needs ${megabytes} MB, WebAssembly offers ${MOST_BYTES / 2 ** 20} MB at most. ${advice}`, 'out-of-memory')
  try {
    return new WebAssembly.Memory(shared ? { initial: pages, maximum: pages, shared } : { initial: pages })
  } catch (error) {
    throw new RunnerError(`${what} needs ${megabytes} MB, which this device did not give. ${advice}`, 'out-of-memory', { cause: error })
  }
}

/** A browser's main thread may not sleep. */
function canBlock(memory: WebAssembly.Memory): boolean {
  try {
    Atomics.wait(new Int32Array(memory.buffer), 0, 1, 0)
    return true
  } catch {
    return false
  }
}
