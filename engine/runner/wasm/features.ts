import { RunnerError } from '../runner'
import { wasmBytes, type Variant } from './source'

/** Relaxed SIMD where the engine knows it, plain SIMD otherwise. Throws RunnerError('unsupported') where neither (or not the one asked for) is known. */
export function pickVariant(wanted: Variant | 'auto' = 'auto'): Variant {
  for (const variant of wanted === 'auto' ? (['relaxed', 'simd'] as const) : [wanted]) {
    if (WebAssembly.validate(wasmBytes(variant, false))) return variant
  }
  throw new RunnerError(
    wanted === 'relaxed'
      ? 'This JavaScript engine has no WebAssembly relaxed SIMD (Node 20 wants --experimental-wasm-relaxed-simd). Use the plain SIMD variant.'
      : 'This JavaScript engine has no WebAssembly SIMD. Use the reference runner, or a browser from 2023 or later.',
    'unsupported')
}

/** Threads need memory that they can share: Node has it, a page where it is cross-origin isolated. */
export function canShareMemory(): boolean {
  return typeof SharedArrayBuffer !== 'undefined' && (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated !== false
}

/**
 * Threads to use when nobody says: half of the cores, at most eight. A core often is half of one
 * (two hardware threads share the multipliers that these kernels fill), and the page wants to draw.
 */
export function defaultThreads(): number {
  return canShareMemory() ? Math.max(1, Math.min(8, Math.floor(coreCount() / 2))) : 1
}

export function coreCount(): number {
  if (typeof navigator !== 'undefined' && navigator.hardwareConcurrency) return navigator.hardwareConcurrency
  return nodeModule('node:os')?.availableParallelism() ?? 1
}

/** "2-core CPU, WebAssembly relaxed SIMD, 1 thread" */
export function deviceName(variant: Variant, threads: number): string {
  return `${coreCount()}-core CPU, WebAssembly ${variant === 'relaxed' ? 'relaxed SIMD' : 'SIMD'}, ${threads} thread${threads === 1 ? '' : 's'}`
}

interface NodeModules {
  'node:os': typeof import('node:os')
  'node:worker_threads': typeof import('node:worker_threads')
}

/** A module of Node, undefined in a browser; not an import, which a bundler for the page would stumble over. */
export function nodeModule<K extends keyof NodeModules>(name: K): NodeModules[K] | undefined {
  return typeof process === 'undefined' ? undefined : (process.getBuiltinModule?.(name) as NodeModules[K] | undefined)
}
