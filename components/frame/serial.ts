import type { Engine } from '$engine/worker/protocol'

/**
 * One workload at a time: two at once would slow each other and both would be timed wrongly. A run that
 * was aborted while it waited for its turn never starts.
 */
export function serialize(engine: Engine): Engine {
  let last: Promise<unknown> = Promise.resolve()
  return {
    open: (options, onProgress, onChange) => engine.open(options, onProgress, onChange),
    serve(workload, options) {
      // Virtual time disturbs nobody.
      if (options?.on) return engine.serve(workload, options)
      const turn = last.then(() => {
        options?.signal?.throwIfAborted()
        return engine.serve(workload, options)
      })
      last = turn.catch(() => undefined)
      return turn
    },
    machine(model, options) {
      const turn = last.then(() => {
        options?.signal?.throwIfAborted()
        return engine.machine(model, options)
      })
      last = turn.catch(() => undefined)
      return turn
    },
    bring(folder, onProgress) {
      const turn = last.then(() => engine.bring(folder, onProgress))
      last = turn.catch(() => undefined)
      return turn
    },
    simulate: (request, options) => engine.simulate(request, options),
    curve: (request, options) => engine.curve(request, options),
    close: () => engine.close(),
  }
}
