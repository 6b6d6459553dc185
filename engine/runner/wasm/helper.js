// One helper thread of the shared build, as text: it runs as a browser's worker or as Node's, whichever
// team.ts starts. It gets the compiled module and the shared memory, and then only ever waits and works.

/** @typedef {{ module: WebAssembly.Module, memory: WebAssembly.Memory, thread: number, failed: number, done: number }} Start */

/** @type {{ onmessage: unknown, postMessage(message: string): void }} */
const port = typeof postMessage === 'function' ? globalThis : /** @type {any} */ (process.getBuiltinModule('node:worker_threads').parentPort)

/** @param {{ data: Start }} event */
port.onmessage = ({ data: { module, memory, thread, failed, done } }) => {
  const words = new Int32Array(memory.buffer)
  try {
    const { exports } = new WebAssembly.Instance(module, { env: { memory } })
    const help = /** @type {(thread: number) => void} */ (exports['help'])
    port.postMessage('ready')
    help(thread)
  } catch (error) {
    // The leader may be asleep over units that this thread had claimed.
    Atomics.store(words, failed / 4, 1)
    Atomics.notify(words, done / 4)
    throw error
  }
}
