import '$theme/index.css'
import { createRawSnippet, flushSync, mount, unmount, type Component } from 'svelte'
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { commands, page, server } from 'vitest/browser'
import BarChart from '$components/charts/BarChart.svelte'
import BeforeAfter from '$components/charts/BeforeAfter.svelte'
import HeatMap from '$components/charts/HeatMap.svelte'
import Histogram from '$components/charts/Histogram.svelte'
import LatencyLoad from '$components/charts/LatencyLoad.svelte'
import Roofline from '$components/charts/Roofline.svelte'
import Scatter from '$components/charts/Scatter.svelte'
import Timeline from '$components/charts/Timeline.svelte'
import Triangle from '$components/charts/Triangle.svelte'
import { binned } from '$components/charts/bins'
import { mm1Quantile } from '$components/charts/queueing'
import Choice from '$components/controls/Choice.svelte'
import FileDrop from '$components/controls/FileDrop.svelte'
import RunButton from '$components/controls/RunButton.svelte'
import Slider from '$components/controls/Slider.svelte'
import Switch from '$components/controls/Switch.svelte'
import { choice, define, power2, toggle } from '$components/controls/params'
import { recorded, sampleQuantity } from '$components/gallery/samples'
import BottleneckBadge from '$components/motif/BottleneckBadge.svelte'
import BudgetBar from '$components/motif/BudgetBar.svelte'
import Callout from '$components/motif/Callout.svelte'
import DecisionMap from '$components/motif/DecisionMap.svelte'
import ExpertsBoard from '$components/motif/ExpertsBoard.svelte'
import HeaderTag from '$components/motif/HeaderTag.svelte'
import KvBlockMap from '$components/motif/KvBlockMap.svelte'
import LatencyRuler from '$components/motif/LatencyRuler.svelte'
import LeverTile from '$components/motif/LeverTile.svelte'
import Notice from '$components/motif/Notice.svelte'
import PrefixTree from '$components/motif/PrefixTree.svelte'
import Quantity from '$components/motif/Quantity.svelte'
import TokenStrip from '$components/motif/TokenStrip.svelte'
import { poolAt } from '$components/motif/kv-blocks'
import { treeOf } from '$components/motif/prefix-tree'
import { bottleneck } from '$engine/trace/bottleneck'
import { perRequest } from '$engine/trace/metrics'
import type { Trace } from '$engine/trace/trace'
import burstJson from '../fixtures/traces/burst.json'
import draftedJson from '../fixtures/traces/drafted.json'
import storyJson from '../fixtures/traces/story.json'
import { compare, load, piece } from './pictures/compare'

const [burst, drafted, story] = [burstJson, draftedJson, storyJson] as unknown as [Trace, Trace, Trace]
const end = burst.events.reduce((t, e) => Math.max(t, e.t), 0)
const ttfts = perRequest(burst).map((r) => r.ttft)
const loads = Array.from({ length: 40 }, (_, i) => 0.3 + i * 0.0172)
const curve = (q: number) => loads.map((x) => ({ x: 100 * x, y: mm1Quantile(x, 11, q), low: mm1Quantile(x, 11, q) * 0.92, high: mm1Quantile(x, 11, q) * 1.1 }))
const bell = Array.from({ length: 4000 }, (_, i) => 0.05 * Math.sqrt(-2 * Math.log((i + 0.5) / 4000)) * Math.cos(2 * Math.PI * ((i * 0.618034) % 1)))
const models = [['0.3m', 1.42, 0.6], ['1m', 1.12, 1.3], ['5m', 0.91, 4.7], ['5m, int8', 0.915, 2.1]] as const
const routed = [[{ expert: 2, weight: 0.7 }, { expert: 5, weight: 0.3 }], [{ expert: 0, weight: 0.55 }, { expert: 5, weight: 0.45 }]]
const at = { how: 'measured' as const, tone: 'decode' as const }

const { order, lane } = define({
  order: choice({ options: { 'static-first': 'Static first', 'user-first': 'User first' }, default: 'static-first', label: 'Order', tone: 'prefill' }),
  lane: toggle({ default: false, label: 'Own lane', tone: 'decode' }),
})
const sentence = createRawSnippet(() => ({ render: () => '<span>Each step reads every weight for one token.</span>' }))
/** A number with all that its card can tell. */
const told = sampleQuantity({
  metric: 'tpot', value: 4.7, unit: 'ms/token', interval: [4.62, 4.78], resolution: 0.005, samples: Array.from({ length: 40 }, (_, i) => 4.4 + 0.02 * ((i * 17) % 40)),
  formula: String.raw`\mathrm{TPOT} = \frac{\mathrm{E2E} - \mathrm{TTFT}}{N - 1}`, note: '40 requests, batch up to 16',
})

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a list of components of all kinds
type Any = Component<any>
/** Name, component, props, the box it is drawn in, and what is done before one looks. */
const PICTURES: [string, Any, object, width: number, height: number, act?: (target: HTMLElement) => Promise<void>][] = [
  ['ruler', LatencyRuler as Any, { trace: story, request: 0, at: 1e6, flags: [{ t: 150, label: 'p99 TTFT', tone: 'queue' }] }, 640, 100],
  ['strip', TokenStrip as Any, { trace: drafted, request: 0, at: drafted.events.filter((e) => e.kind === 'verify')[5]!.t }, 640, 50],
  ['tag', HeaderTag as Any, { label: 'TTFT', tone: 'prefill', quantity: sampleQuantity() }, 240, 70],
  ['badge', BottleneckBadge as Any, { of: bottleneck(story) }, 240, 50],
  ['slider', Slider as Any, { param: define({ prompt: power2({ from: 16, to: 2048, default: 512, label: 'Prompt', unit: 'tok', tone: 'prefill' }) }).prompt, value: 128 }, 400, 50],
  ['choice', Choice as Any, { param: order, value: 'user-first' }, 400, 50],
  ['switch', Switch as Any, { param: lane, value: true }, 400, 50],
  ['files', FileDrop as Any, { label: 'A vLLM request log or bench file', accept: '.json,.jsonl', onfile: () => {} }, 400, 110],
  ['file-refused', FileDrop as Any, { label: 'A vLLM request log or bench file', accept: '.json,.jsonl', onfile: () => {} }, 400, 160, refuse],
  ['run', RunButton as Any, { state: 'idle', label: 'Send 60 requests', onrun: () => {}, onstop: () => {} }, 240, 60],
  ['stop', RunButton as Any, { state: 'running', onrun: () => {}, onstop: () => {} }, 240, 60],
  ['callout', Callout as Any, { label: 'Decode, per token', quantity: told, children: sentence }, 400, 150],
  ['notice', Notice as Any, { kind: 'error', text: 'This model needs 412 MB, the graphics card offers 256 MB. Running tales-5m instead.' }, 560, 110],
  ['card', Quantity as Any, { of: told, size: 'callout' }, 560, 470, open],
  ['budget', BudgetBar as Any, { rows: [{ label: 'chat', limit: { ms: 500, label: 'first token', slo: true }, stages: [{ label: 'network', ms: 40, how: 'modelled', tone: 'neutral' }, { label: 'queue', ms: 210, how: 'simulated', tone: 'queue', budget: 120 }, { label: 'prefill', ms: 320, how: 'measured', tone: 'prefill' }] }] }, 640, 170],
  ['blocks', KvBlockMap as Any, { pool: poolAt(burst, end / 2, { policy: 'contiguous' }) }, 640, 320],
  ['tree', PrefixTree as Any, { roots: treeOf([['s', 'a', 'u'], ['s', 'b'], ['s', 'a', 'v']].map((keys, i) => ({ running: i === 1, segments: keys.map((key) => ({ key, label: { s: 'system prompt', a: 'chunk 1', b: 'chunk 2' }[key] ?? `user ${key}`, tokens: key === 's' ? 400 : 160 })) })), true), path: ['/s', '/s/a', '/s/a/v'] }, 640, 260],
  ['lever', LeverTile as Any, { name: 'Quantization', icon: 'chip', acts: ['memory'], lit: true, note: 'int8', effects: [{ label: 'TPOT', of: sampleQuantity({ metric: 'change', value: -46, unit: '%' }) }, { label: 'cost', of: sampleQuantity({ metric: 'change', value: 12, unit: '%' }) }, { label: 'p99', of: null }, { label: 'TTFT' }] }, 300, 230],
  ['experts', ExpertsBoard as Any, { experts: 8, choices: routed, touched: [[1, 2, 5], [0, 5, 6]], counts: [14, 6, 31, 9, 11, 22, 8, 19], token: ' mill' }, 560, 240],
  ['decisions', DecisionMap as Any, { symptom: 'a', shares: bottleneck(burst), symptoms: [{ id: 'a', label: 'TTFT jumps with load', bottlenecks: ['queue'], source: 'sglang#22831' }, { id: 'b', label: 'Tokens stall', bottlenecks: ['memory', 'queue'] }], levers: [{ id: 'c', label: 'Add a replica', bottlenecks: ['queue'], note: 'p99 falls' }, { id: 'd', label: 'Quantize', bottlenecks: ['memory'] }] }, 900, 330],
  ['load', LatencyLoad as Any, { unit: 'ms', label: 'TTFT', p50: curve(0.5), p99: curve(0.99), live: [{ x: 50, y: 104 }, { x: 85, y: 350 }], service: 9, mark: 85, limit: 500 }, 540, 360],
  ['histogram', Histogram as Any, { values: ttfts, unit: 'ms', label: 'TTFT', tone: 'queue', marks: [{ value: 150, label: 'p50', weight: 1 }, { value: 240, label: 'p90', weight: 2 }] }, 540, 300],
  ['timeline', Timeline as Any, { trace: burst, at: end * 0.8, highlight: 8 }, 540, 320],
  ['roofline', Roofline as Any, { roof: story.roofs, points: [{ label: 'prefill', tone: 'prefill', intensity: 40, rate: story.roofs!.flopsPerSecond * 0.6, provenance: recorded }, { label: 'decode', tone: 'decode', intensity: 0.5, rate: story.roofs!.flopsPerSecond / 12, provenance: recorded }] }, 540, 340],
  ['heat', HeatMap as Any, { title: 'Share of decode', label: 'decode', unit: '%', tone: 'decode', how: 'measured', range: [0, 100], columns: { label: 'input', unit: 'tok', values: [16, 64, 256] }, rows: { label: 'output', unit: 'tok', values: [16, 64] }, cells: [[61, 32, 9], [87, 66, null]], current: { column: 64, row: 64 } }, 540, 260],
  ['bars', BarChart as Any, { title: 'Throughput', unit: 'tok/s', current: 'batch 8', limit: { value: 800, label: 'wanted' }, bars: [{ label: 'batch 1', value: 212, ...at }, { label: 'batch 8', value: 890, low: 840, high: 950, how: 'simulated', tone: 'decode' }, { label: 'H100', value: 1240, how: 'modelled' }, { label: 'paper', value: 1080, how: 'published' }] }, 540, 290],
  ['plane', Scatter as Any, { title: 'Quality against time', x: { label: 'TPOT', unit: 'ms/token', kind: 'log' }, y: { label: 'loss', unit: 'bits/byte', domain: [0.8, 1.6] }, edge: ['low', 'low'], current: '5m, int8', points: models.map(([label, y, x]) => ({ label, x, y, ...at })) }, 540, 320],
  ['triangle', Triangle as Any, { title: 'Pick two', corners: [{ label: 'capability', unit: 'bits/byte', better: 'low' }, { label: 'cost', unit: '$', better: 'low' }, { label: 'latency', unit: 'ms/token', better: 'low' }], points: models.map(([label, a, b], i) => ({ label, values: [a, [0.4, 0.2, 0.9, 1.6][i]!, b], ...at })) }, 540, 340],
  ['weights', BeforeAfter as Any, { title: 'Weights', label: 'weight', names: ['f32', 'int4'], how: 'measured', scale: 'log', before: binned(bell, -0.2, 0.2, 120), after: binned(bell.map((w) => Math.round(w / 0.028) * 0.028), -0.2, 0.2, 120) }, 540, 300],
]

/** Opens the card of a number; its formula comes when KaTeX is there. */
async function open(target: HTMLElement): Promise<void> {
  target.querySelector('button')!.click()
  await expect.poll(() => target.querySelector('[popover]:popover-open .katex')).toBeTruthy()
  await document.fonts.ready
}

/** Drops a file of the wrong kind. */
async function refuse(target: HTMLElement): Promise<void> {
  const input = target.querySelector<HTMLInputElement>('input[type=file]')!
  const given = new DataTransfer()
  given.items.add(new File(['x'], 'notes.txt'))
  input.files = given.files
  input.dispatchEvent(new Event('change', { bubbles: true }))
  await expect.poll(() => target.textContent).toContain('notes.txt')
}

const kept = import.meta.glob<string>('./pictures/*.png', { query: '?url', import: 'default', eager: true })
let mounted: ReturnType<typeof mount> | undefined

/** One component in its box, at rest. */
async function draw([, component, props, width, height, act]: (typeof PICTURES)[number]): Promise<HTMLElement> {
  const target = document.createElement('div')
  target.style.cssText = `position:absolute;left:0;top:0;width:${width}px;height:${height}px;background:var(--ground)`
  document.body.append(target)
  mounted = mount(component, { target, props })
  flushSync()
  // Sizes are measured a frame after they are laid out.
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
  flushSync()
  if (act) {
    await act(target)
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
  }
  return target
}

async function clear(): Promise<void> {
  if (mounted) await unmount(mounted)
  mounted = undefined
  document.body.replaceChildren()
}

beforeAll(async () => {
  // The time of day of all pictures.
  vi.useFakeTimers({ toFake: ['Date'], now: new Date('2026-11-24T12:00:00Z') })
  // At rest, and whatever a test before this one left the pointer on.
  const still = document.createElement('style')
  still.textContent = '*, *::before, *::after { transition: none !important; animation: none !important; pointer-events: none !important; } body { margin: 0; }'
  document.head.append(still)
  // Larger than the browser's window the page would be shrunk, and its pictures with it.
  await page.viewport(960, 600)
  await Promise.all([document.fonts.load('600 16px "Inter Variable"'), document.fonts.load('500 17px "JetBrains Mono Variable"')])
  return () => vi.useRealTimers()
})

afterEach(async () => {
  await clear()
  delete document.documentElement.dataset['theme']
})

describe('two pictures are told apart', () => {
  const draw = (text: string, shift = 0) => {
    const canvas = document.createElement('canvas')
    canvas.width = 400
    canvas.height = 120
    const context = canvas.getContext('2d')!
    context.fillStyle = '#f8fafc'
    context.fillRect(0, 0, 400, 120)
    context.fillStyle = '#5b6b82'
    context.font = '500 16px "Inter Variable"'
    context.fillText('TTFT, ms', 20 + shift, 40)
    context.fillText(text, 200 + shift, 80)
    return piece(canvas, { x: 0, y: 0, width: 400, height: 120 })
  }
  test('by a label that is lost or reads otherwise', () => {
    expect(compare(draw('p99'), draw('')).alike).toBe(false)
    expect(compare(draw('p99'), draw('load, %')).alike).toBe(false)
  })
  test('not by how a font is rasterised', () => expect(compare(draw('p99'), draw('p99', 0.4)).alike).toBe(true))
})

test.each(['light', 'dark'])('every component looks as it did: %s', async (theme) => {
  document.documentElement.dataset['theme'] = theme
  const faults: string[] = []
  for (const picture of PICTURES) {
    const [name, , , width, height] = picture
    const element = await draw(picture)
    const shot = await page.screenshot({ element, save: false, base64: true })
    await clear()
    const image = await load(`data:image/png;base64,${typeof shot === 'string' ? shot : (shot as { base64: string }).base64}`)
    expect([image.width, image.height], `${name}: a picture pixel for pixel`).toEqual([width, height])
    const now = piece(image, { x: 0, y: 0, width, height })
    const file = `./pictures/${name}-${theme}.png`
    if (server.config.snapshotOptions.updateSnapshot === 'all') await commands.writeFile(`tests/gpu/${file.slice(2)}`, now.toDataURL('image/png').split(',')[1]!, 'base64')
    else if (!kept[file]) faults.push(`${name}: no picture is kept; npx vitest run --project gpu tests/gpu/pictures.test.ts -u keeps this one, look at it`)
    else {
      const { alike, worst, at: where } = compare(now, await load(kept[file]))
      if (!alike) faults.push(`${name}: differs by ${worst.toFixed(0)} of 255 around ${where.x}, ${where.y}`)
    }
  }
  expect(faults).toEqual([])
})
