import rtx4090 from '$assets/profiles/rtx-4090-llama-3.1-8b.json'
import { byPhase, FORMULAS, measured } from '$components/frame/measured'
import { hardware, HARDWARE, type Hardware } from '$engine/cost/hardware'
import { modelSpec, MODELS } from '$engine/cost/models'
import { deviceLabel, memoryNeeded, roofline, type RooflineOptions } from '$engine/cost/roofline'
import { judge } from '$engine/measure/claims/claim'
import { databricksTensorParallel, MLPERF, mlperfRates } from '$engine/measure/claims/devices'
import type { StepCost } from '$engine/serving/step-cost'
import { roofline as leastTime, type Attribution } from '$engine/trace/bottleneck'
import { percentile, perRequest } from '$engine/trace/metrics'
import type { Provenance } from '$engine/trace/provenance'
import type { Quantity } from '$engine/trace/quantity'
import type { Milliseconds, Roofs, Trace } from '$engine/trace/trace'
import { machineCost, recordedMachine, type RecordedProfile } from '$engine/worker/lens'
import { OUTPUT, PROMPT, type HardwareReading } from './experiment'

const FASTER = String.raw`\frac{\text{rate by roofline}}{\text{rate known}} - 1`
const LEFT = String.raw`\frac{t(\text{twice})}{t}`
/** What a server gives to weights and cache (vLLM's default). */
const MEMORY_SHARE = 0.9

/** A device as the roofline sees it. */
export interface Device {
  label: string
  hardware: Hardware
  /** Devices that share each layer. */
  tp: number
  /** Own: what this device measured, per step. */
  overheadMs?: Milliseconds
  /** How its place on the plane of roofs is known. */
  how: Provenance['how']
}

export interface Scale {
  bandwidth: number
  flops: number
}
const AS_IT_IS: Scale = { bandwidth: 1, flops: 1 }

/** A device of the catalogue. */
export function ofCatalogue(name: string, tp: number): Device {
  const h = hardware(name)
  return { label: deviceLabel(h, tp), hardware: h, tp, how: 'modelled' }
}

/** The device that a Trace ran on, by the roofs that it found of itself; undefined where it found none. */
export function ofTrace(trace: Trace, label: string): Device | undefined {
  const memory = trace.roofs?.read.at(-1)
  const { provenance } = trace
  if (!memory || !('device' in provenance)) return undefined
  const { flopsPerSecond, overheadMs } = trace.roofs!
  return {
    label, tp: 1, overheadMs: overheadMs ?? 0, how: provenance.how,
    // It measured what it reaches; how much memory it could give, nobody knows.
    hardware: { name: 'own', label: `${provenance.device.name}, by its measured roofs`, bytesPerSecond: memory.bytesPerSecond, flops16: flopsPerSecond, memoryBytes: Infinity, matmul: 1, matmul8: 1, reading: 1 },
  }
}

const optionsOf = ({ hardware: h, tp, overheadMs }: Device, model: string, { bandwidth, flops }: Scale): RooflineOptions => ({ hardware: h, model, tensorParallel: tp, overheadMs, bandwidth, flops })

/** What the device reads and computes a second: peaks times what of them is reached. */
export function roofsOf(device: Device, scale: Scale = AS_IT_IS): { bytesPerSecond: number; flopsPerSecond: number } {
  const { hardware: h, tp } = device
  return { bytesPerSecond: h.bytesPerSecond * h.reading * tp * scale.bandwidth, flopsPerSecond: h.flops16 * h.matmul * tp * scale.flops }
}

/** Why the model has no room there, in words; undefined where it has. */
export function tooLarge({ hardware: h, tp, label }: Device, model: string): string | undefined {
  const m = modelSpec(model)
  const { weightBytes, kvBytes } = memoryNeeded(m, PROMPT + OUTPUT)
  const memory = h.memoryBytes * tp
  const gb = (bytes: number) => `${Math.round(bytes / 1e9)} GB`
  return weightBytes + kvBytes > MEMORY_SHARE * memory ? `${m.label} needs ${gb(weightBytes)}; ${label} has ${gb(memory)}.` : undefined
}

/** Time to the first token and time per token of the slide's request by these step costs, ms. */
export function timesOf(cost: Pick<StepCost, 'step'>): { ttft: Milliseconds; tpot: Milliseconds } {
  let decode = 0
  for (let k = 0; k < OUTPUT - 1; k++) decode += cost.step(1, PROMPT + k, 0, 0)
  return { ttft: cost.step(0, 0, PROMPT, (PROMPT * PROMPT) / 2), tpot: decode / (OUTPUT - 1) }
}

export interface Modelled {
  ttft: Quantity
  tpot: Quantity
  rate: Quantity
  provenance: Provenance
  attribution: Attribution
}

/** The slide's request on a device with a model, by roofline. */
export function modelled(device: Device, model: string, scale: Scale = AS_IT_IS): Modelled {
  const cost = roofline(optionsOf(device, model, scale))
  const { ttft, tpot } = timesOf(cost)
  const note = `${PROMPT} tokens in, ${OUTPUT} out, alone, 16 bits${device.hardware.memoryBytes === Infinity ? '; as if its memory held the weights' : ''}`
  const known = { provenance: cost.provenance, note }
  return {
    provenance: cost.provenance,
    attribution: attributionOf(cost),
    ttft: { metric: 'ttft', value: ttft, unit: 'ms', formula: String.raw`\mathrm{TTFT} = \max\!\left(\tfrac{\text{FLOPs}}{\text{peak}},\ \tfrac{\text{bytes}}{\text{bandwidth}}\right) + \text{overhead}`, ...known },
    tpot: { metric: 'tpot', value: tpot, unit: 'ms/token', formula: String.raw`\mathrm{TPOT} = \max\!\left(\tfrac{\text{FLOPs}}{\text{peak}},\ \tfrac{\text{bytes}}{\text{bandwidth}}\right) + \text{overhead}`, ...known },
    rate: { metric: 'decode_rate', value: 1000 / tpot, unit: 'tok/s', formula: FORMULAS.rate, ...known },
  }
}

/** Which roof takes the request's time. */
function attributionOf({ machine, step }: ReturnType<typeof roofline>): Attribution {
  const { work, roofs } = machine!
  const sum: Attribution = { compute: 0, memory: 0, queue: 0, network: 0, overhead: 0 }
  const add = (...of: [number, number, number, number]) => {
    const { flops, bytes } = work(...of)
    const { ms, bound } = leastTime(roofs, flops, bytes, 1)
    sum[bound] += ms
    sum.overhead += step(...of) - ms
  }
  add(0, 0, PROMPT, (PROMPT * PROMPT) / 2)
  for (let k = 0; k < OUTPUT - 1; k++) add(1, PROMPT + k, 0, 0)
  return sum
}

/** What twice the bandwidth and twice the FLOPs leave of the two times, %. */
export interface Doubled {
  bandwidth: { ttft: Quantity; tpot: Quantity }
  flops: { ttft: Quantity; tpot: Quantity }
}

export function doubled(device: Device, model: string, scale: Scale): Doubled {
  const now = modelled(device, model, scale)
  const left = (which: keyof Scale) => {
    const then = modelled(device, model, { ...scale, [which]: 2 * scale[which] })
    const share = (metric: 'ttft' | 'tpot'): Quantity => ({ metric: `${metric}_left_by_${which}`, value: (100 * then[metric].value) / now[metric].value, unit: '%', provenance: then.provenance, formula: LEFT, note: now[metric].note })
    return { ttft: share('ttft'), tpot: share('tpot') }
  }
  return { bandwidth: left('bandwidth'), flops: left('flops') }
}

/** A figure that is known, and what the roofline makes of the same. */
export interface Against {
  label: string
  known: Quantity
  /** By how much the roofline is faster than what is known, %. */
  faster: Quantity
}

export interface Judged {
  name: string
  model: string
  rows: Against[]
}

const against = (label: string, known: Quantity, rate: number, provenance: Provenance, note?: string): Against => ({
  label, known, faster: { metric: 'roofline_faster', value: 100 * (rate - 1), unit: '%', provenance, formula: FASTER, note },
})

/** MLPerf's servers: tok/s as published, and by roofline (the claims ledger). */
export function judgedByMlperf(): Judged[] {
  return MLPERF.map((system) => ({
    name: system.name, model: 'Llama-2-70B',
    rows: mlperfRates(system).map(judge).map(({ claim, published, ratio, unit, source, conditions, why }) => against(
      claim.split(', ')[1]!,
      { metric: 'throughput', value: published as number, unit, provenance: { how: 'published', source, conditions } },
      ratio!, { how: 'modelled', hardware: system.name, model: 'Llama-2-70B' }, why,
    )),
  }))
}

/** A vLLM server on an RTX 4090, as it was recorded, against the catalogue's RTX 4090. */
export function judgedByServer(): Judged {
  const machine = recordedMachine(rtx4090 as RecordedProfile)
  const { ttft, tpot } = timesOf(machineCost(machine))
  const by = modelled(ofCatalogue(rtx4090.hardware, 1), rtx4090.model)
  const known = { provenance: machine.provenance, note: rtx4090.source }
  return {
    name: 'RTX 4090', model: 'Llama-3.1-8B',
    rows: [
      against('TTFT', { metric: 'ttft', value: ttft, unit: 'ms', ...known }, ttft / by.ttft.value, by.provenance),
      against('TPOT', { metric: 'tpot', value: tpot, unit: 'ms/token', ...known }, tpot / by.tpot.value, by.provenance),
    ],
  }
}

/** A run against the roofs of the device it ran on: each step's least time and the overhead of a step, or what it took. */
export function judgedByRuns({ runs }: Pick<HardwareReading, 'runs'>, name: string): Judged | undefined {
  const trace = runs[0]!
  const { provenance, roofs } = trace
  if (!roofs || !('device' in provenance)) return undefined
  const least = leastOf(trace, roofs)
  const all = runs.flatMap((r) => perRequest(r))
  const [ttfts, tpots] = [all.map((r) => r.ttft), all.flatMap((r) => r.tpot ?? [])]
  if (tpots.length === 0) return undefined
  const by: Provenance = { how: 'modelled', hardware: `${provenance.device.name}, by its measured roofs`, model: provenance.device.model }
  const note = `${runs.length} ${runs.length === 1 ? 'run' : 'runs'} of ${PROMPT} tokens in, ${OUTPUT} out`
  const [ttft, tpot] = [percentile(ttfts, 50), percentile(tpots, 50)]
  return {
    name, model: provenance.device.model,
    rows: [
      against('TTFT', measured(trace, 'ttft', ttft, 'ms', { formula: FORMULAS.ttft, samples: ttfts, note }), ttft / least.ttft, by),
      against('TPOT', measured(trace, 'tpot', tpot, 'ms/token', { formula: FORMULAS.tpot, samples: tpots, note }), tpot / least.tpot, by),
    ],
  }
}

function leastOf(trace: Trace, roofs: Roofs): { ttft: Milliseconds; tpot: Milliseconds } {
  const { prefill, decode } = byPhase(trace)
  const sum = (steps: typeof prefill) => steps.reduce((ms, s) => ms + leastTime(roofs, s.flops, s.bytes, s.workingSet).ms + (roofs.overheadMs ?? 0), 0)
  return { ttft: sum(prefill), tpot: sum(decode) / decode.length }
}

/** What sharing a layer among devices leaves out: decode on eight devices over four, as published and by roofline. */
export function allReduce(): { published: Quantity; ours: Quantity } {
  const c = databricksTensorParallel().map(judge).find((d) => d.id.endsWith('/decode'))!
  const value = { metric: 'decode_8_over_4', unit: c.unit } as const
  return {
    published: { ...value, value: c.published as number, provenance: { how: 'published', source: c.source, conditions: c.conditions } },
    ours: { ...value, value: c.ours as number, provenance: { how: 'modelled', hardware: 'A100 40 GB', model: 'Llama-2-70B' }, note: c.why },
  }
}

/** The catalogue's names in a recorded profile's: `rtx-4090-llama-3.1-8b`. */
export function namesIn(profile: string): { device: string; model: string } | undefined {
  for (const { name: device } of HARDWARE) {
    const model = MODELS.find((m) => profile === `${device}-${m.name}`)
    if (model) return { device, model: model.name }
  }
  return undefined
}
