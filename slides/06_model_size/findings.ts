import { byPhase, measured } from '$components/frame/measured'
import { HARDWARE } from '$engine/cost/hardware'
import { MODELS, totalParameters } from '$engine/cost/models'
import { readRate, utilisation } from '$engine/trace/bottleneck'
import { perRequest } from '$engine/trace/metrics'
import type { Quantity } from '$engine/trace/quantity'
import type { Roofs } from '$engine/trace/trace'
import { tpotOf, type Format, type SizeReading } from './experiment'

const MBU = String.raw`\mathrm{MBU} = \frac{\text{bytes}}{t \cdot \text{bandwidth}}`
const TPOT = String.raw`\mathrm{TPOT} = \operatorname{median}(t_{i+1} - t_i)`
const TWICE = String.raw`2^{\,\text{slope of } \log \mathrm{TPOT} \text{ over } \log \text{bytes}}`

/** Models that a slope is taken over, at least. */
const LEAST = 3

export interface Findings {
  tpot: Quantity
  rate: Quantity
  /** Bytes that a step reads. */
  bytes: Quantity
  weightBytes?: Quantity
  /** Share of the bandwidth, %. */
  mbu?: Quantity
  /** What twice the bytes do to the time per token, by the larger half of the models: in small ones overhead and caches have their say. */
  twice?: Quantity
  /** TPOT with a second chat beside it, over alone. */
  second?: Quantity
  /** TPOT after everything else over the first, and seconds in between. */
  later?: { times: Quantity; after: Quantity }
}

export function findings({ own, points, two, again }: SizeReading): Findings {
  const { trace, tpot } = own
  const { decode } = byPhase(trace)
  const larger = points.slice(Math.floor(points.length / 2))
  const times = (metric: string, of: typeof trace) => measured(of, metric, tpotOf(of) / tpot, '×', { formula: String.raw`\frac{\mathrm{TPOT}}{\mathrm{TPOT}_{\text{first}}}` })
  return {
    tpot: measured(trace, 'tpot', tpot, 'ms/token', { formula: TPOT, samples: perRequest(trace).flatMap((r) => r.itl) }),
    rate: measured(trace, 'decode_rate', 1000 / tpot, 'tok/s', { formula: String.raw`\frac{1000}{\mathrm{TPOT}}` }),
    bytes: measured(trace, 'step_bytes', own.bytes, 'bytes', { note: 'weights, cache and activations of one decode step' }),
    weightBytes: trace.held && measured(trace, 'weight_bytes', trace.held.weightBytes, 'bytes'),
    mbu: trace.roofs && measured(trace, 'mbu', 100 * utilisation(decode, trace.roofs).mbu, '%', { formula: MBU }),
    twice: larger.length >= LEAST ? measured(trace, 'twice_bytes', 2 ** slope(larger), '×', { formula: TWICE, note: `least squares over the ${larger.length} larger of ${points.length} models` }) : undefined,
    second: two && times('second_chat', two),
    later: again && { times: times('later', again.trace), after: measured(again.trace, 'later_after', again.afterMs / 1000, 's', { note: 'of work in between' }) },
  }
}

/** Of log TPOT over log bytes, by least squares. */
function slope(points: SizeReading['points']): number {
  const [xs, ys] = [points.map((p) => Math.log(p.bytes)), points.map((p) => Math.log(p.tpot))]
  const mean = (v: number[]) => v.reduce((a, b) => a + b, 0) / v.length
  const [mx, my] = [mean(xs), mean(ys)]
  return xs.reduce((s, x, i) => s + (x - mx) * (ys[i]! - my), 0) / xs.reduce((s, x) => s + (x - mx) ** 2, 0)
}

/** Least time per token at each number of bytes: they at the rate at which so many are read. */
export function bandwidthLine(roofs: Roofs, from: number, to: number): { x: number; y: number }[] {
  const COUNT = 32
  return Array.from({ length: COUNT + 1 }, (_, i) => {
    const bytes = from * (to / from) ** (i / COUNT)
    return { x: bytes, y: (1000 * bytes) / readRate(roofs, bytes) }
  })
}

/** A cache is seen where small working sets are read at least so much faster than large ones. */
const SEEN = 1.25

/** Working set at which reading has come halfway down from the cache's rate to memory's; undefined where no cache is seen. */
export function cacheEdge({ read }: Roofs): number | undefined {
  const last = read.at(-1)
  if (!last) return undefined
  const best = read.reduce((a, b) => (b.bytesPerSecond > a.bytesPerSecond ? b : a))
  if (best.bytesPerSecond < SEEN * last.bytesPerSecond) return undefined
  const middle = Math.sqrt(best.bytesPerSecond * last.bytesPerSecond)
  const after = read.findIndex((p) => p.bytes > best.bytes && p.bytesPerSecond < middle)
  if (after < 1) return undefined
  const [a, b] = [read[after - 1]!, read[after]!]
  const share = (a.bytesPerSecond - middle) / (a.bytesPerSecond - b.bytesPerSecond)
  return a.bytes * (b.bytes / a.bytes) ** share
}

const WIDTH: Record<Format, number> = { f32: 4, f16: 2, int8: 1, int4: 0.5 }
/** What a serving engine leaves for weights and cache (vLLM's gpu_memory_utilization). */
const USABLE = 0.9

/** The largest model of the catalogue whose weights fit a device, in one precision. */
export function largestOn(device: string, precision: Format): { device: string; model: string; weights: Quantity } | undefined {
  const hardware = HARDWARE.find((h) => h.name === device)!
  const weights = (m: (typeof MODELS)[number]) => totalParameters(m) * WIDTH[precision]
  const best = MODELS.filter((m) => weights(m) < USABLE * hardware.memoryBytes).sort((a, b) => weights(b) - weights(a))[0]
  return best && {
    device: hardware.label, model: best.label,
    weights: { metric: 'weight_bytes', value: weights(best), unit: 'bytes', provenance: { how: 'modelled', hardware: hardware.label, model: best.label }, formula: String.raw`\text{parameters} \cdot \text{bytes} < 0.9 \cdot \text{memory}`, note: `weights alone, ${precision}` },
  }
}
