import { describe, expect, test } from 'vitest'
import { tokensPerIteration } from '$engine/cost/speculation'
import { expectedSpeedup } from '$engine/speculate/expected'
import { gain, hurtsFrom, type Served } from '$engine/speculate/gain'
import type { Event, Trace } from '$engine/trace/trace'
import { roundsAt, verificationOf } from '$slides/17_proxy_models/findings'

const served: Served = { hardware: 'h100-sxm', tensorParallel: 4, target: 'llama-3.1-70b', draft: 'llama-3.1-8b' }
const batches = Array.from({ length: 10 }, (_, i) => 2 ** i)

describe('gain by roofline', () => {
  test('at batch 1 it is Leviathan’s: rows are free, a draft step costs what the small model reads', () => {
    for (const [a, k] of [[0.6, 4], [0.8, 6]] as const) {
      // Weights without the input table, both read at one rate, plus the same millisecond of overhead.
      const read = (parameters: number) => (2e-9 * parameters) / (4 * 3.35 * 0.8) + 1
      const c = read(8.03e9 - 128_256 * 4096) / read(70.55e9 - 128_256 * 8192)
      const ours = gain({ ...served, mbu: 0.8, overheadMs: 1 }, { tokens: tokensPerIteration(a, k), rows: k + 1, draftSteps: k }, 1, 1)
      expect(Math.abs(ours / expectedSpeedup(a, k, c) - 1)).toBeLessThan(0.01)
    }
  })

  test('a full batch has no arithmetic to spare: from there on it hurts, and the more is drafted the sooner', () => {
    const at = (k: number) => hurtsFrom(served, { tokens: tokensPerIteration(0.6, k), rows: k + 1, draftSteps: k }, batches, 512)!
    expect(at(4)).toBeGreaterThan(16)
    expect(at(8)).toBeLessThanOrEqual(at(4))
    expect(at(4)).toBeLessThanOrEqual(at(1))
    const gains = batches.map((b) => gain(served, { tokens: 2.3, rows: 5, draftSteps: 4 }, b, 512))
    for (let i = 1; i < gains.length; i++) expect(gains[i]).toBeLessThan(gains[i - 1]!)
  })
})

describe('slide 17 reads its rounds off the events', () => {
  const event = (t: number, kind: Event['kind'], more: Partial<Event> = {}): Event => ({ t, request: 0, kind, ...more })
  const trace: Trace = {
    provenance: { how: 'recorded', device: { name: 'test', runner: 'recorded', model: 'none' }, at: '2026-01-01T00:00:00Z' },
    requests: [{ id: 0, arrival: 0, promptTokens: 1, maxTokens: 9 }],
    events: [
      event(1, 'token', { text: 'a' }),
      event(2, 'draft', { text: 'b' }), event(2, 'draft', { text: 'c' }), event(2, 'draft', { text: 'd' }),
      event(3, 'verify', { count: 1 }), event(3, 'token', { text: 'b' }), event(3, 'token', { text: 'x' }),
      event(4, 'draft', { text: 'e', parent: -1 }), event(4, 'draft', { text: 'f', parent: -1 }), event(4, 'draft', { text: 'g', parent: 0 }), event(4, 'draft', { text: 'h', parent: 1 }),
      event(5, 'verify', { count: 1, path: [1] }), event(5, 'token', { text: 'f' }), event(5, 'token', { text: 'y' }),
      event(5, 'finished'),
    ],
    steps: [],
  }

  test('chains and trees, waiting and judged', () => {
    expect(roundsAt(trace, 0, 2)[1]).toEqual({ number: 2, accepted: [], left: ['b', 'c', 'd'].map((text) => ({ kind: 'draft', text })), aside: 0 })
    expect(roundsAt(trace, 0, 3)[1]).toEqual({ number: 2, accepted: ['b'], own: 'x', left: ['c', 'd'].map((text) => ({ kind: 'rejected', text })), aside: 0 })
    expect(roundsAt(trace, 0, 4)[2]).toEqual({ number: 3, accepted: [], left: ['e', 'g'].map((text) => ({ kind: 'draft', text })), aside: 2 })
    expect(roundsAt(trace, 0, 5)[2]).toEqual({ number: 3, accepted: ['f'], own: 'y', left: [{ kind: 'rejected', text: 'h' }], aside: 2 })
  })

  test('averages count every token once', () => {
    expect(verificationOf(trace)).toMatchObject({ tokens: 2, rows: 1 + 7 / 2, drafted: 7, accepted: 2 })
  })
})
