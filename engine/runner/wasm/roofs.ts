import type { RoofProbe } from '../probe'
import { Arena } from './arena'
import { CONTROL_BYTES, MADD, MATMUL, PANEL, READ } from './jobs'
import { Machine, type MachineOptions } from './machine'

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
  const arena = new Arena(CONTROL_BYTES)
  const sink = arena.take(64 * 64) // a cache line for each thread
  const w = arena.takeWords(ROWS * COLS)
  const x = arena.takeWords(TOKENS * COLS)
  const y = arena.takeWords(TOKENS * ROWS)
  const compute = await Machine.create(arena.bytes, 'Measuring the matmul rate', options)
  compute.f32.fill(0.5, w / 4, y / 4)
  let reading: { machine: Machine; address: number; sink: number; bytes: number } | undefined
  return {
    threads: compute.threads,
    sizes: [1, 2, 4, 8, 16, 32, 64, 128, 256].map((mb) => mb * 2 ** 20),
    async prepare(bytes) {
      reading?.machine.dispose()
      reading = undefined
      const whole = Math.ceil(bytes / 128) * 128 // the kernel goes by 128 bytes
      const place = new Arena(CONTROL_BYTES)
      const lines = place.take(64 * 64)
      const address = place.take(whole)
      const machine = await Machine.create(place.bytes, `Reading ${bytes / 2 ** 20} MB`, { ...options, threads: compute.threads })
      // Pages that were never written are all one and the same page to the system.
      machine.f32.fill(0.5, address / 4, (address + whole) / 4)
      reading = { machine, address, sink: lines, bytes: whole }
    },
    readPass() {
      if (!reading) throw new RangeError('readPass before prepare')
      reading.machine.launch(READ, Math.ceil(reading.bytes / READ_UNIT), reading.address, reading.bytes, reading.sink)
      return reading.bytes
    },
    matmulPass() {
      compute.launch(MATMUL, ROWS / PANEL, w, x, y, COLS, TOKENS, 4 * COLS, 4 * ROWS, 0, ROWS / PANEL)
      return 2 * TOKENS * COLS * ROWS
    },
    maddPass() {
      compute.launch(MADD, MADD_UNITS, sink)
      return MADD_UNITS * MADD_FLOPS
    },
    dispose() {
      reading?.machine.dispose()
      compute.dispose()
      reading = undefined
    },
  }
}
