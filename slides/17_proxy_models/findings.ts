import { measured } from '$components/frame/measured'
import { gain, hurtsFrom, type Served, type Verification } from '$engine/speculate/gain'
import { percentile, perRequest, summarize } from '$engine/trace/metrics'
import type { Quantity } from '$engine/trace/quantity'
import type { Event, Step, Trace } from '$engine/trace/trace'
import { METHODS, type Method, type ProxyReading } from './experiment'

/** Where speculation is at home: a model that four accelerators share, and one that drafts for it. */
export const SERVED: Served & { label: string; devices: string } = {
  hardware: 'h100-sxm', tensorParallel: 4, target: 'llama-3.1-70b', draft: 'llama-3.1-8b', label: 'Llama-3.1-70B', devices: 'H100 SXM ×4',
}
export const CONTEXT = 512
export const BATCHES = [1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256]

/** Published gains at batch 1 (REFERENCE §5). */
export const PUBLISHED = { source: 'LATENCY_METRICS_SUMMARY', conditions: 'Pythia-2.8B drafted by Pythia-70M, WikiText-2, 500 tokens', gains: { linear: 1.26, tree: 1.39 } } as const

const PER_STEP = String.raw`\frac{N_{\text{out}} - 1}{\text{verifications}}`
const ACCEPTANCE = String.raw`\frac{\text{accepted}}{\text{drafted}}`
const GAIN = String.raw`\frac{\text{tokens} \cdot t_{\text{plain}}}{t_{\text{verify}} + n_{\text{draft}} \cdot t_{\text{draft}}}`

export interface Findings {
  method: Method
  /** Tokens for each step of the target model that a request takes part in. */
  perStep: Quantity
  /** Undefined where nothing was drafted. */
  acceptance?: Quantity
  drafted: Quantity
  accepted: Quantity
  /** Steps of the target model, and of plain decoding. */
  targetSteps: Quantity
  plainSteps?: Quantity
  /** Time gained here over plain decoding of the same prompts. */
  gain?: Quantity
  /** The same text, token for token; undefined until plain decoding has run. */
  same?: boolean
  ttft?: Quantity
  tpot?: Quantity
  rate?: Quantity
}

/** What the reader's own run came to, and what plain decoding beside it says; undefined while it runs. */
export function findings({ runs }: ProxyReading, method: Method): Findings | undefined {
  const trace = runs[method]
  const spread = trace && summarize(trace)
  if (!trace || !spread?.tpot || !spread.ttft) return undefined
  const { plain } = runs
  const { drafted, accepted, tokens } = verificationOf(trace)
  const faster = plain && method !== 'plain' ? gainHere(trace, plain) : undefined
  return {
    method,
    perStep: measured(trace, 'tokens_per_step', tokens, 'tok', { formula: PER_STEP }),
    acceptance: drafted ? measured(trace, 'acceptance', (100 * accepted) / drafted, '%', { formula: ACCEPTANCE }) : undefined,
    drafted: measured(trace, 'drafted', drafted, ''),
    accepted: measured(trace, 'accepted', accepted, ''),
    targetSteps: measured(trace, 'target_steps', targetSteps(trace), ''),
    plainSteps: plain && measured(plain, 'plain_steps', targetSteps(plain), ''),
    gain: faster === undefined ? undefined : measured(trace, 'speedup', faster, '×', { formula: GAIN }),
    same: plain && JSON.stringify(outputs(plain)) === JSON.stringify(outputs(trace)),
    ttft: measured(trace, 'p50_ttft', spread.ttft.median, 'ms'),
    tpot: measured(trace, 'p50_tpot', spread.tpot.median, 'ms/token'),
    rate: measured(trace, 'decode_rate', 1000 / spread.tpot.median, 'tok/s'),
  }
}

/** Tokens per step of every method that has run, in the methods' order. */
export function perStepOf(runs: ProxyReading['runs']): { method: Method; trace: Trace; tokens: number }[] {
  return METHODS.flatMap((method) => {
    const trace = runs[method]
    return trace ? [{ method, trace, tokens: verificationOf(trace).tokens }] : []
  })
}

/** What the method would gain in a datacentre, with tokens and rows per verification as measured here. */
export function elsewhere(trace: Trace, method: Method, batch: number): { gain: Quantity; curve: { x: number; y: number }[]; hurts?: number } {
  const served = { ...SERVED, draft: method === 'lookup' ? undefined : SERVED.draft }
  const verification = verificationOf(trace)
  const provenance = { how: 'modelled', hardware: SERVED.devices, model: `${SERVED.label} drafted by Llama-3.1-8B` } as const
  const note = `${CONTEXT} tokens of context; acceptance as measured on this page's models`
  return {
    gain: { metric: 'modelled_speedup', value: gain(served, verification, batch, CONTEXT), unit: '×', provenance, formula: GAIN, note },
    curve: BATCHES.map((x) => ({ x, y: gain(served, verification, x, CONTEXT) })),
    hurts: hurtsFrom(served, verification, BATCHES, CONTEXT),
  }
}

/** Averages over all verifications of a run; decodes without drafts count as verifications of nothing. */
export function verificationOf(trace: Trace): Verification & { drafted: number; accepted: number } {
  const count = (kind: Event['kind']) => trace.events.reduce((n, e) => n + (e.kind === kind ? 1 : 0), 0)
  const accepted = trace.events.reduce((n, e) => n + (e.kind === 'verify' ? e.count! : 0), 0)
  const drafted = count('draft')
  // The first token of each request comes from its prompt.
  const decoded = count('token') - perRequest(trace).length
  const verifications = Math.max(1, decoded - accepted)
  const draftShares = trace.steps.reduce((n, s) => n + (s.role === 'draft' ? s.batch.filter((b) => b.sampled).length : 0), 0)
  return { tokens: decoded / verifications, rows: 1 + drafted / verifications, draftSteps: draftShares / verifications, drafted, accepted }
}

/** By the medians of the steps: what else runs on the machine lengthens a few of them, and plain and drafted ran one after the other. */
function gainHere(trace: Trace, plain: Trace): number | undefined {
  const { tokens, draftSteps } = verificationOf(trace)
  const [drafts, verifications, alone] = [decodes(trace, 'draft'), decodes(trace), decodes(plain)]
  if (alone.length === 0 || verifications.length === 0) return undefined
  // A draft step of a batch drafts for all of its requests at once.
  const drafting = drafts.length > 0 ? draftSteps * median(drafts) : 0
  return (tokens * median(alone)) / (median(verifications) + drafting)
}

/** Durations of the steps that computed nobody's prompt, ms. */
function decodes(trace: Trace, role?: Step['role']): number[] {
  const prompts = new Map(trace.requests.map((r) => [r.id, r.promptTokens]))
  return trace.steps.filter((s) => s.role === role && s.batch.every((b) => b.context >= prompts.get(b.request)!)).map((s) => s.duration)
}

const median = (values: number[]) => percentile(values, 50)

function targetSteps(trace: Trace): number {
  return trace.steps.filter((s) => s.role !== 'draft' && s.batch.some((b) => b.sampled)).length
}

function outputs(trace: Trace): (number | undefined)[][] {
  return trace.requests.map((r) => trace.events.flatMap((e) => (e.kind === 'token' && e.request === r.id ? [e.token] : [])))
}

/** One step of the target model: what was drafted for it, and what came of it. */
export interface Round {
  /** 1 for the step that ends the prompt. */
  number: number
  accepted: string[]
  /** The target's own token; undefined while drafts wait for their verification. */
  own?: string
  /** Drafts on the likeliest branch that wait, or fell. */
  left: { kind: 'draft' | 'rejected'; text: string }[]
  /** Drafts beside the branch, of a tree. */
  aside: number
}

/** The steps of one request up to a moment. */
export function roundsAt(trace: Trace, request: number, at: number): Round[] {
  const rounds: Round[] = []
  let drafts: Event[] = []
  let open: Round | undefined
  let toCome = 0
  for (const e of trace.events) {
    if (e.request !== request || e.t > at) continue
    if (e.kind === 'draft') {
      drafts.push(e)
    } else if (e.kind === 'verify') {
      const path = e.path ?? Array.from({ length: e.count! }, (_, i) => i)
      const branch = branchOf(drafts, path)
      open = { number: rounds.length + 1, accepted: [], left: branch.map((i) => ({ kind: 'rejected', text: drafts[i]!.text ?? '' })), aside: drafts.length - path.length - branch.length }
      toCome = e.count!
      rounds.push(open)
      drafts = []
    } else if (e.kind === 'token') {
      if (toCome-- > 0) open!.accepted.push(e.text ?? '')
      else {
        if (open) open.own = e.text ?? ''
        else rounds.push({ number: rounds.length + 1, accepted: [], own: e.text ?? '', left: [], aside: 0 })
        open = undefined
        toCome = 0
      }
    }
  }
  if (drafts.length) {
    const branch = branchOf(drafts, [])
    rounds.push({ number: rounds.length + 1, accepted: [], left: branch.map((i) => ({ kind: 'draft', text: drafts[i]!.text ?? '' })), aside: drafts.length - branch.length })
  }
  return rounds
}

/** The likeliest successors of what was accepted: first children, one after the other. */
function branchOf(drafts: readonly Event[], path: readonly number[]): number[] {
  const parents = drafts.map((d, i) => d.parent ?? i - 1)
  const branch: number[] = []
  for (let at = path.at(-1) ?? -1; ; ) {
    const next = parents.findIndex((p, i) => p === at && i > at && !path.includes(i))
    if (next < 0) return branch
    branch.push((at = next))
  }
}
