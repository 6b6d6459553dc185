import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { CHAPTERS, slideNumber } from '$components/frame/slide'
import { defaults, encodeValue, parse, type Params } from '$components/controls/params'
import { deck } from '$slides/deck'

/** Order and names as the talk's outline fixes them. */
const OUTLINE = [
  '00_cover', '01_what_makes_slow', '02_latency_metrics', '03_latency_budget', '04_tradeoffs', '05_latency_components', '06_model_size',
  '07_output_dominates', '08_context_length_kv_growth', '09_cached_prefix', '10_batch_size_tradeoff', '11_highway_congestion',
  '12_global_routing_vs_queue', '13_long_requests_cost', '14_speedups', '15_smaller_models', '16_moe_sparsity', '17_proxy_models',
  '18_quantization', '19_kv_cache', '20_add_capacity', '21_new_hardware', '22_playbook',
]
const TAGS = ['ttft', 'tpot', 'p99', 'compute', 'memory', 'queue', 'network']
/** Slides that run something, by their id. */
const LIVE = Object.fromEntries(Object.entries(import.meta.glob<{ params: Params }>('../../slides/*/experiment.ts', { eager: true })).map(([path, experiment]) => [path.split('/').at(-2)!, experiment]))

test('twenty-three slides, in the outline’s order, numbered by their place, in four chapters that follow each other', () => {
  expect(deck.map((s) => s.id)).toEqual(OUTLINE)
  expect(deck.map((s) => slideNumber(s.id))).toEqual(deck.map((_, i) => i))
  const chapters = deck.map((s) => Object.keys(CHAPTERS).indexOf(s.chapter))
  expect(chapters).toEqual([...chapters].sort((a, b) => a - b))
  expect(new Set(chapters).size).toBe(4)
})

describe.each(deck.map((s) => [s.id, s] as const))('%s', (id, slide) => {
  test('states its finding in at most nine words, without an exclamation mark', () => {
    expect(slide.headline.split(/\s+/).length).toBeLessThanOrEqual(9)
    expect(slide.headline).not.toMatch(/!/)
  })

  test('carries known tags, a metric or a bottleneck at least', () => {
    expect(slide.tags.length).toBeGreaterThan(0)
    expect(slide.tags.filter((t) => !TAGS.includes(t))).toEqual([])
  })

  test('has two to four paragraphs for the speaker', () => {
    const paragraphs = slide.notes.trim().split(/\n\n+/)
    expect(paragraphs.length).toBeGreaterThanOrEqual(2)
    expect(paragraphs.length).toBeLessThanOrEqual(4)
  })

  test('its stage directions name parameters that the slide has, with values they can take', () => {
    const directions = [...slide.notes.matchAll(/\[set ([^\]]*)\]/g)].map((m) => m[1]!)
    const source = readFileSync(`slides/${id}/Slide.svelte`, 'utf8')
    for (const direction of directions) {
      const [, name, value] = direction.match(/^([a-z_]+)=(\S+)$/) ?? []
      expect(name, `"${direction}" is not name=value`).toBeDefined()
      const live = LIVE[id]
      if (live) {
        expect(live.params, direction).toHaveProperty(name!)
        expect(encodeValue(parse(live.params[name!]!, value!)), direction).toBe(value)
      } else {
        expect(source, direction).toContain(`name: '${name}'`)
      }
    }
  })

  test('is a folder of its own; only live slides have an experiment', () => {
    expect(existsSync(`slides/${id}/notes.md`)).toBe(true)
    expect(existsSync(`slides/${id}/experiment.ts`)).toBe(id in LIVE)
  })
})

test('no folder of slides is left out of the deck', () => {
  expect(readdirSync('slides', { withFileTypes: true }).filter((e) => e.isDirectory()).map((e) => e.name).sort()).toEqual(OUTLINE)
})

test('parameters have the ranges and defaults of the outline', () => {
  const [metrics, components, batches, congestion] = ['02_latency_metrics', '05_latency_components', '10_batch_size_tradeoff', '11_highway_congestion'].map((id) => LIVE[id]!) as [{ params: Params }, { params: Params }, { params: Params }, { params: Params }]
  expect(defaults(metrics.params)).toEqual({ requests: 60, cv: 1, slo_ttft: 500 })
  expect(defaults(components.params)).toEqual({ prompt: 512, output: 64, batch: 1 })
  const range = (p: Params) => Object.fromEntries(Object.entries(p).map(([name, q]) => [name, q.kind === 'number' ? [q.from, q.to] : undefined]))
  expect(range(metrics.params)).toEqual({ requests: [20, 400], cv: [0.2, 4], slo_ttft: [20, 2000] })
  expect(range(components.params)).toEqual({ prompt: [16, 2048], output: [8, 512], batch: [1, 16] })
  expect(defaults(congestion.params)).toEqual({ load: 0.85, cv: 1, service_cv: 1 })
  expect(range(congestion.params)).toEqual({ load: [0.3, 1.05], cv: [0.2, 4], service_cv: [0, 3] })
  expect(defaults(batches.params)).toMatchObject({ batch: 8, policy: 'continuous', spread: 1 })
  expect(range(batches.params)).toEqual({ batch: [1, 64], policy: undefined, slo_tpot: [5, 500], spread: [0, 3] })
})
