import type { Trace } from '$engine/trace/trace'
import type { Engine, Workload } from '$engine/worker/protocol'

export interface Followed {
  /** A copy: what the engine appends later does not show in it. */
  trace: Trace
  /** True once the run is over and the Trace whole. */
  complete: boolean
}

/**
 * Serves a workload and yields its Trace as it grows, the newest state only (a slow reader skips the
 * ones in between), at last the whole. Throws what `serve` rejects with.
 */
export async function* follow(engine: Engine, workload: Workload, signal: AbortSignal): AsyncGenerator<Followed> {
  let newest: Trace | undefined
  let whole: Trace | undefined
  let failure: { error: unknown } | undefined
  let wake = () => {}
  void engine.serve(workload, { signal, onUpdate: (_, soFar) => { newest = soFar; wake() } }).then(
    (trace) => { whole = trace; wake() },
    (error: unknown) => { failure = { error }; wake() },
  )
  for (;;) {
    if (!newest && !whole && !failure) await new Promise<void>((resolve) => { wake = resolve })
    if (failure) throw failure.error
    if (whole) {
      yield { trace: whole, complete: true }
      return
    }
    if (newest) {
      const trace = copy(newest)
      newest = undefined
      yield { trace, complete: false }
    }
  }
}

const copy = (trace: Trace): Trace => ({
  ...trace,
  requests: trace.requests.slice(),
  events: trace.events.slice(),
  steps: trace.steps.slice(),
})
