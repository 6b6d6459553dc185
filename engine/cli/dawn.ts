/** The npm package "webgpu" (Dawn for Node), as far as it is used here. */
interface Dawn {
  create(options: string[]): GPU
  globals: Record<string, unknown>
}

/** Puts Dawn's GPU where a browser has it. False when the optional package "webgpu" is not installed. */
export async function enableDawn(): Promise<boolean> {
  const name = 'webgpu' // not a literal in the import: the package is optional, and unknown to the type check
  const dawn = await (import(/* @vite-ignore */ name) as Promise<Dawn>).catch(() => undefined)
  if (!dawn) return false
  Object.assign(globalThis, dawn.globals)
  Object.defineProperty(globalThis, 'navigator', { value: { gpu: dawn.create([]) }, configurable: true })
  return true
}
