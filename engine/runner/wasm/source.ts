import relaxed from './build/relaxed.wasm?url&inline'
import relaxedShared from './build/relaxed-shared.wasm?url&inline'
import simd from './build/simd.wasm?url&inline'
import simdShared from './build/simd-shared.wasm?url&inline'

/** With fused multiply-add where the engine has relaxed SIMD, with multiply and add everywhere else. */
export type Variant = 'relaxed' | 'simd'

/** The compiled kernels (scripts/wasm.mjs makes them). At 9 KB each they travel inside the script, in the page and in Node alike. */
export function wasmBytes(variant: Variant, shared: boolean): Uint8Array<ArrayBuffer> {
  const url = variant === 'relaxed' ? (shared ? relaxedShared : relaxed) : shared ? simdShared : simd
  return Uint8Array.from(atob(url.slice(url.indexOf(',') + 1)), (c) => c.charCodeAt(0))
}
