import { RunnerError } from '../runner'
import { nodeModule } from './features'
import { DONE, FAILED, QUIT, TICKET } from './jobs'
import helperSource from './helper.js?raw'

/** Helper threads that sit in `help` (assembly/team.ts) and take their share of every job. */
export interface Team {
  /** What became of a helper that is gone, undefined while all are there. */
  readonly lost: string | undefined
  /** Sends the helpers home. */
  dismiss(): void
}

/** What browser and Node workers have in common. */
interface Helper {
  postMessage(message: unknown): void
  terminate(): unknown
}

/**
 * Starts `count` helpers on a shared memory and waits until all are ready.
 * Throws RunnerError('unsupported') where workers cannot be started.
 */
export async function gatherTeam(module: WebAssembly.Module, memory: WebAssembly.Memory, count: number): Promise<Team> {
  let lost: string | undefined
  let dismissed = false
  const words = new Int32Array(memory.buffer)
  const dismiss = () => {
    dismissed = true
    Atomics.store(words, QUIT / 4, 1)
    Atomics.add(words, TICKET / 4 + 1, 1)
    Atomics.notify(words, TICKET / 4 + 1)
    for (const helper of helpers) void helper.terminate()
  }
  const helpers: Helper[] = []
  const ready = Array.from({ length: count }, (_, i) => new Promise<void>((resolve, reject) => {
    const onLost = (why: string) => {
      if (dismissed) return
      lost ??= why
      Atomics.store(words, FAILED / 4, 1)
      Atomics.notify(words, DONE / 4)
      reject(new Error(why))
    }
    const helper = startHelper(resolve, onLost)
    helpers.push(helper)
    helper.postMessage({ module, memory, thread: i + 1, failed: FAILED, done: DONE })
  }))
  try {
    await Promise.all(ready)
  } catch (error) {
    dismiss()
    throw new RunnerError('Helper threads could not be started. Run with one thread.', 'unsupported', { cause: error })
  }
  return {
    get lost() {
      return lost
    },
    dismiss,
  }
}

function startHelper(onReady: () => void, onLost: (why: string) => void): Helper {
  const threads = nodeModule('node:worker_threads')
  if (threads) {
    const worker = new threads.Worker(helperSource, { eval: true })
    const settle = () => {
      worker.unref() // not earlier: a program that only waits for its helpers would end
      onReady()
    }
    worker.on('message', settle).on('error', (error: Error) => onLost(error.message)).on('exit', (code) => onLost(`it exited with code ${code}`))
    return worker
  }
  const url = URL.createObjectURL(new Blob([helperSource], { type: 'text/javascript' }))
  const worker = new Worker(url)
  worker.onmessage = () => {
    URL.revokeObjectURL(url)
    onReady()
  }
  worker.onerror = (event) => onLost(event.message || 'its script could not be loaded')
  return worker
}
