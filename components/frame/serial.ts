import type { Engine } from '$engine/worker/protocol'

/**
 * One workload at a time: two at once would slow each other and both would be timed wrongly. A run that
 * was aborted while it waited for its turn never starts.
 */
export function serialize(engine: Engine): Engine {
  let last: Promise<unknown> = Promise.resolve()
  function inTurn<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const turn = last.then(() => {
      signal?.throwIfAborted()
      return work()
    })
    last = turn.catch(() => undefined)
    return turn
  }
  return {
    open: (options, onProgress, onChange) => engine.open(options, onProgress, onChange),
    // Virtual time disturbs nobody.
    serve: (workload, options) => (options?.on ? engine.serve(workload, options) : inTurn(options?.signal, () => engine.serve(workload, options))),
    machine: (model, options) => inTurn(options?.signal, () => engine.machine(model, options)),
    quality: (request, options) => inTurn(options?.signal, () => engine.quality(request, options)),
    cascade: (request, options) => inTurn(options?.signal, () => engine.cascade(request, options)),
    bring: (folder, onProgress) => inTurn(undefined, () => engine.bring(folder, onProgress)),
    simulate: (request, options) => engine.simulate(request, options),
    curve: (request, options) => engine.curve(request, options),
    close: () => engine.close(),
  }
}
