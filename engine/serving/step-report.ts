import { work, type Routing, type Share } from '../model/work'
import type { Runner, StepBatch, StepResult } from '../runner/runner'
import type { Milliseconds, Step } from '../trace/trace'

/** A run of a runner as the Trace tells it; a chain of decodes as the steps it was. Times are ms from the start of the run. */
export function stepsOf(runner: Runner, batch: StepBatch, result: StepResult, start: Milliseconds, end: Milliseconds, kvBlocks: number, role?: Step['role']): Step[] {
  const count = batch.steps ?? 1
  const widths = runner.widths ?? { weight: 4, kv: 4 }
  const workOf = (some: readonly Share[], routing: Routing) => runner.work?.(some) ?? work(runner.config, some, widths, routing)
  // What a share alone would have touched nobody counted: it is taken in expectation.
  const alone: Routing = { expertsPerToken: batch.expertsPerToken }
  const together: Routing = { ...alone, expertsTouched: result.expertsTouched === undefined ? undefined : result.expertsTouched / count }
  const steps: Step[] = []
  let from = start
  for (let s = 0; s < count; s++) {
    const to = start + (end - start) * (result.ends?.[s] ?? (s + 1) / count)
    const shares = batch.chunks.map((c): Share => ({
      tokens: c.tokens.length,
      context: c.start + s,
      sampledRows: c.sampleRows || batch.allRows ? c.tokens.length : c.sample ? 1 : 0,
    }))
    const all = workOf(shares, together)
    steps.push({
      start: from,
      duration: to - from,
      batch: shares.map((share, i) => {
        const solo = workOf([share], alone)
        const { request } = batch.chunks[i]!
        return { request, tokens: share.tokens, context: share.context, sampled: share.sampledRows > 0, soloFlops: solo.flops, soloBytes: solo.bytes }
      }),
      flops: all.flops,
      bytes: all.bytes,
      workingSet: all.workingSet,
      kvBlocks,
      dispatches: result.dispatches === undefined ? undefined : result.dispatches / count,
      role,
      experts: expertReads(runner, batch, result, count),
    })
    from = to
  }
  return steps
}

function expertReads({ config }: Runner, batch: StepBatch, result: StepResult, steps: number): Step['experts'] {
  if (result.expertsTouched === undefined || !config.experts) return undefined
  return {
    touched: result.expertsTouched / steps,
    total: config.layers * config.experts,
    perToken: batch.expertsPerToken ?? config.expertsPerToken ?? config.experts,
    choices: result.experts,
  }
}
