import type { Step, Trace } from '$engine/trace/trace'

/** Experts of one token: by layer, most weight first. */
export type Route = readonly (readonly number[])[]

/** Steps in which nothing but decoding happens and the most sequences are together: all, unless the runner takes fewer. */
export function decodeSteps(trace: Trace): Step[] {
  const decodes = trace.steps.filter((s) => s.batch.every((share) => share.tokens === 1 && share.context > 0))
  const most = Math.max(0, ...decodes.map((s) => s.batch.length))
  return decodes.filter((s) => s.batch.length === most)
}

/** Sequences that decoded together. */
export const together = (trace: Trace): number => decodeSteps(trace)[0]?.batch.length ?? 0

/** The experts of each row of a step; empty where they were not asked for. */
export function routesOf({ experts, batch }: Step): Route[] {
  if (!experts?.choices) return []
  const { choices, perToken } = experts
  const rows = batch.reduce((n, s) => n + s.tokens, 0)
  const layers = choices.length / (rows * perToken)
  return Array.from({ length: rows }, (_, row) =>
    Array.from({ length: layers }, (_, layer) => Array.from(choices.subarray((layer * rows + row) * perToken, (layer * rows + row + 1) * perToken))))
}

/** Experts of the row that put out a request's token in this step; undefined where it put out none. */
export function routeOf(step: Step, request: number): Route | undefined {
  let row = 0
  for (const share of step.batch) {
    row += share.tokens
    if (share.request === request && share.sampled) return routesOf(step)[row - 1]
  }
  return undefined
}

/** Distinct experts of some tokens together, by layer. */
export function union(routes: readonly Route[]): number[][] {
  return (routes[0] ?? []).map((_, layer) => [...new Set(routes.flatMap((r) => r[layer]!))].sort((a, b) => a - b))
}

/** Experts of each output token, request by request. */
function written(trace: Trace): Route[][] {
  const all = new Map<number, Route[]>(trace.requests.map((r) => [r.id, []]))
  for (const step of trace.steps) {
    const routes = routesOf(step)
    let row = 0
    for (const share of step.batch) {
      row += share.tokens
      const route = routes[row - 1]
      if (share.sampled && route) all.get(share.request)!.push(route)
    }
  }
  return [...all.values()]
}

/**
 * Experts a layer that a step of n tokens reads, on average: a token's experts are the same whoever is beside it, so
 * batches of n are put together from the texts of one run, each text in one batch, each place in the text once.
 */
export function readByBatch(trace: Trace, sizes: readonly number[]): { batch: number; read: number }[] {
  const texts = written(trace)
  const places = Math.min(...texts.map((t) => t.length))
  return sizes.filter((n) => n <= texts.length).map((batch) => {
    let sum = 0
    let count = 0
    for (let from = 0; from + batch <= texts.length; from += batch) {
      for (let place = 0; place < places; place++) {
        for (const experts of union(texts.slice(from, from + batch).map((t) => t[place]!))) {
          sum += experts.length
          count++
        }
      }
    }
    return { batch, read: sum / count }
  })
}

/** Experts a layer that n tokens read if every expert is as likely as another: E (1 − (1 − k/E)ⁿ). */
export function readIfEven(experts: number, perToken: number, tokens: number): number {
  return experts * (1 - (1 - perToken / experts) ** tokens)
}
