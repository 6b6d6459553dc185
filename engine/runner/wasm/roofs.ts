import type { RoofProbe } from '../probe'
import { Arena } from './arena'
import { CONTROL_BYTES, MADD, MATMUL, PANEL, READ } from './jobs'
import { Machine, MOST_THREADS, type MachineOptions } from './machine'

/** Bytes of a unit of the read kernel (assembly/roofs.ts). */
const READ_UNIT = 65536
/** A product whose parts stay in the L2 cache: (128, 256) @ (256, 512). */
const TOKENS = 128
const COLS = 256
const ROWS = 512
/** Units of the register kernel, and FLOPs of one: 1,000 rounds of 24 vectors of four multiply-adds. */
const MADD_UNITS = 64
const MADD_FLOPS = 1000 * 24 * 4 * 2

/** What the WebAssembly kernels can read and multiply here, with as many threads as the runner uses. */
export interface WasmProbe extends RoofProbe {
  readonly threads: number
  /** Multiply-adds on registers alone: what no kernel can pass. Returns the FLOPs it did. */
  maddPass(): number
}

/** The same threads and kernels as createWasmRunner with these options. Throws as it does. */
export async function createWasmProbe(options: MachineOptions = {}): Promise<WasmProbe> {
  const sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256].map((mb) => mb * 2 ** 20)
  const arena = new Arena(CONTROL_BYTES)
  const sink = arena.take(MOST_THREADS * 64) // a cache line for each thread
  const w = arena.takeWords(ROWS * COLS)
  const x = arena.takeWords(TOKENS * COLS)
  const y = arena.takeWords(TOKENS * ROWS)
  const data = arena.take(sizes.at(-1)!) // takes up memory only as far as it is written
  const machine = await Machine.create(arena.bytes, 'Measuring the read rate', options)
  machine.f32.fill(0.5, w / 4, y / 4)
  let bytes = 0
  return {
    threads: machine.threads,
    sizes,
    prepare(wanted) {
      if (!(wanted > 0 && wanted <= sizes.at(-1)!)) throw new RangeError(`this probe reads up to ${sizes.at(-1)!} bytes, not ${wanted}`)
      bytes = Math.ceil(wanted / 128) * 128 // the kernel goes by 128 bytes
      // Pages that were never written are all one and the same page to the system.
      machine.f32.fill(0.5, data / 4, (data + bytes) / 4)
    },
    readPass() {
      if (bytes === 0) throw new RangeError('readPass before prepare')
      machine.launch(READ, Math.ceil(bytes / READ_UNIT), data, bytes, sink)
      return bytes
    },
    matmulPass() {
      machine.launch(MATMUL, ROWS / PANEL, w, x, y, COLS, TOKENS, 4 * COLS, 4 * ROWS, 0, ROWS / PANEL)
      return 2 * TOKENS * COLS * ROWS
    },
    maddPass() {
      machine.launch(MADD, MADD_UNITS, sink)
      return MADD_UNITS * MADD_FLOPS
    },
    dispose() {
      machine.dispose()
    },
  }
}
