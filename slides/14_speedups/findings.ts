import { binding, bottleneck, total, type Bottleneck } from '$engine/trace/bottleneck'
import type { Quantity } from '$engine/trace/quantity'
import type { Trace } from '$engine/trace/trace'
import { LEVERS, type Board, type Effects, type Lever, type Pulled } from '../levers'

export interface Present {
  bottleneck: Bottleneck
  /** Its share of the requests' time, %. */
  share: Quantity
}

/** What binds the requests as things are; undefined where nothing was attributed. */
export function present(trace: Trace): Present | undefined {
  const parts = bottleneck(trace)
  const found = binding(parts)
  if (!found) return undefined
  return {
    bottleneck: found,
    share: { metric: 'bottleneck_share', value: (100 * parts[found]) / total(parts), unit: '%', provenance: trace.provenance, formula: String.raw`\frac{t_{\text{${found}}}}{\sum \mathrm{E2E}}`, note: `${trace.requests.length} requests, parts sum to their E2E` },
  }
}

/** Levers that act on it. */
export const lit = (on: Bottleneck | undefined): Lever[] => LEVERS.filter((l) => (l.acts as readonly Bottleneck[]).includes(on!)).map((l) => l.lever)

/** The lever with the largest gain in one respect, of all or of those that write the same text as before; undefined where none of those pulled so far gains anything. */
export function best({ pulled }: Pick<Board, 'pulled'>, respect: keyof Omit<Effects, 'quality'>, sameText = false): (Pulled & { label: string; gain: Quantity }) | undefined {
  const gains = LEVERS.flatMap(({ lever, label }) => {
    const p = pulled[lever]
    const gain = p?.effects[respect]
    return p && gain && gain.value < 0 && !(sameText && 'quality' in p.effects) ? [{ ...p, label, gain }] : []
  })
  return gains.sort((a, b) => a.gain.value - b.gain.value)[0]
}

export interface Baseline {
  ttft?: Quantity
  rate?: Quantity
  tail?: Quantity
}

/** The workload as things are. */
export function baseline({ before }: Board): Baseline {
  const { summary, provenance } = before.simulated
  const note = `${summary.completed.toLocaleString('en')} simulated requests, ${before.rate.toPrecision(3)} a second`
  const q = (metric: string, value: number, unit: Quantity['unit']): Quantity => ({ metric, value, unit, provenance, note })
  return {
    ttft: summary.ttft_ms ? q('p50_ttft', summary.ttft_ms.p50, 'ms') : undefined,
    rate: summary.tpot_ms ? q('decode_rate', 1000 / summary.tpot_ms.p50, 'tok/s') : undefined,
    tail: summary.ttft_ms ? q('p99_ttft', summary.ttft_ms.p99, 'ms') : undefined,
  }
}
