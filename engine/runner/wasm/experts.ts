import type { ModelConfig } from '../../model/config'
import type { Arena } from './arena'
import type { Kernels } from './kernels'
import type { Machine } from './machine'
import { padded, type PackedLayer } from './weights'

/** Where the tokens of a step went. */
export interface Routes {
  /** Distinct (layer, expert) pairs. */
  touched: number
  /** Expert ids, layer by layer, row by row, most weight first. */
  experts: number[]
}

/**
 * Mixture of experts (Jiang et al. 2024, §2.1). Each expert goes through its own rows only, brought together, and an
 * expert that no row was sent to is not read. A row's experts are added in the order of their numbers, whatever else
 * is in the batch.
 */
export class Mixture {
  private readonly scores: number
  private readonly picked: number
  private readonly weights: number
  private readonly scoreStride: number

  constructor(arena: Arena, private readonly c: ModelConfig, tokens: number, private readonly kernels: Kernels) {
    this.scoreStride = 4 * padded(c.experts!)
    this.scores = arena.take(tokens * this.scoreStride) // (T, E)
    this.picked = arena.take(tokens * kernels.hiddenStride) // an expert's rows, before and after it
    this.weights = arena.takeWords(2 * tokens) // row and weight of each
  }

  /** x += Σ weight · expert(h) over the experts each row is sent to: (T, d). Notes them in `routes`. */
  add(m: Machine, layer: PackedLayer, h: number, count: number, middle: number, x: number, expertsPerToken: number, routes: Routes): void {
    const { kernels: k } = this
    k.matmul(m, layer.router!, h, k.hiddenStride, count, this.scores, this.scoreStride, false, 'router')
    const rows = this.route(m, count, expertsPerToken, routes)
    for (const [e, { gateUp, down }] of layer.experts.entries()) {
      const mine = rows[e]!
      if (mine.length === 0) continue
      routes.touched++
      const width = k.hiddenStride / 4
      for (const [i, { row, weight }] of mine.entries()) {
        m.f32.copyWithin(this.picked / 4 + i * width, h / 4 + row * width, h / 4 + (row + 1) * width)
        m.u32[this.weights / 4 + 2 * i] = row
        m.f32[this.weights / 4 + 2 * i + 1] = weight
      }
      k.swiglu(m, gateUp, this.picked, mine.length, middle)
      k.matmul(m, down, middle, k.middleStride, mine.length, this.picked, k.hiddenStride, false, 'down')
      k.addWeighted(m, this.picked, this.weights, mine.length, x)
    }
  }

  /** Of each expert: the rows sent to it, with the softmax of the chosen scores alone. */
  private route(m: Machine, count: number, expertsPerToken: number, routes: Routes): { row: number; weight: number }[][] {
    const rows: { row: number; weight: number }[][] = Array.from({ length: this.c.experts! }, () => [])
    for (let row = 0; row < count; row++) {
      const at = this.scores / 4 + (row * this.scoreStride) / 4
      const scores = m.f32.subarray(at, at + this.c.experts!)
      const chosen = Array.from(scores.keys()).sort((a, b) => scores[b]! - scores[a]! || a - b).slice(0, expertsPerToken)
      const parts = chosen.map((e) => Math.exp(scores[e]! - scores[chosen[0]!]!))
      const sum = parts.reduce((a, b) => a + b)
      for (const [i, e] of chosen.entries()) rows[e]!.push({ row, weight: parts[i]! / sum })
      routes.experts.push(...chosen)
    }
    return rows
  }
}
