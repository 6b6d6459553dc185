import { choice } from '$components/controls/params'
import type { ScenarioJson } from '$engine/worker/protocol'

/**
 * The talk's six workloads, for every slide that asks "whose requests?": what is sent, how it comes, how long its user
 * waits, and what else is spent on the way to the model. No engine of ours can measure the last two: each says who
 * published it, or that it is assumed.
 */

/** Where a figure that nobody here measured comes from. */
export type Origin = { source: string; conditions: string } | 'assumed'

/** A part of the way that is no engine's work. */
export interface Part {
  name: string
  ms: number
  /** Between which values it usually lies, ms. */
  range?: readonly [low: number, high: number]
  origin: Origin
  /** Where things are streamed it runs beside the part before it, and ends with it. */
  beside?: boolean
  /** Where things are streamed it needs so many tokens of the answer and not all of them. */
  tokens?: number
}

/** Tokens of a request, as a scenario draws them. */
export interface Lengths {
  mean: number
  /** Coefficient of variation; lengths are log-normal. */
  cv: number
  max: number
  origin: Origin
}

export interface TalkWorkload {
  label: string
  /** Who waits for what, in a sentence. */
  says: string
  input: Lengths
  output: Lengths
  /** Model calls until the user has his answer, one after the other: an agent calls for its tool first. */
  calls: number
  /** Rate as a share of what the machine sustains, and how unevenly it comes (coefficient of variation of the gaps; 1: Poisson). */
  load: number
  cv: number
  /** Tokens at the head of the prompt that others begin with as well, how many such beginnings there are, and how many requests have one. */
  prefix: { tokens: number; groups: number; share: number }
  /** What the server is held to; null: no limit. */
  slo: { ttftMs: number | null; tpotMs: number | null; origin: Origin }
  /** How long the user waits at most, and for what. */
  patience: { ms: number; until: 'first token' | 'first sound' | 'whole answer'; origin: Origin }
  /** Tokens are shown as they come. */
  streamed: boolean
  /** Before the model is asked, between two calls of it, and after it. */
  before: readonly Part[]
  between: readonly Part[]
  after: readonly Part[]
}

const GATEWAY: Part = {
  name: 'gateway', ms: 12, range: [12, 29],
  origin: { source: 'LiteLLM documentation, Benchmarks', conditions: 'overhead of two proxies at 1,036 req/s: median 12 ms, p95 29 ms' },
}
const RETRIEVAL_BY: Origin = { source: 'BC9, Benchmarking Inference Latency in RAG Pipelines (2024)', conditions: 'the middle of what is given as typical' }
const VOICE_BY: Origin = { source: 'T. Weitzman, Latency Engineering for Real-Time Voice Agents (Speechify, 2026)', conditions: 'the middle of what is given as typical' }
const NIELSEN = 'J. Nielsen, Response Times: The 3 Important Limits (1993)'
const AZURE: Origin = { source: 'Azure LLM inference trace 2023, code (Splitwise, ISCA 2024)', conditions: 'mean and spread of 8,819 requests' }
const MLPERF: Origin = { source: 'MLPerf Inference v4.1, Llama-2-70B server', conditions: 'TTFT 2 s, TPOT 200 ms' }

export const WORKLOADS = {
  chat: {
    label: 'Chat',
    says: 'A person reads along while the answer is written.',
    input: { mean: 512, cv: 1, max: 4096, origin: 'assumed' },
    output: { mean: 128, cv: 1, max: 1024, origin: 'assumed' },
    calls: 1, load: 0.7, cv: 1,
    prefix: { tokens: 128, groups: 1, share: 1 },
    slo: { ttftMs: 500, tpotMs: 50, origin: 'assumed' },
    patience: { ms: 1000, until: 'first token', origin: { source: NIELSEN, conditions: 'one second keeps a flow of thought unbroken' } },
    streamed: true,
    before: [GATEWAY], between: [], after: [],
  },
  rag: {
    label: 'RAG',
    says: 'The answer is looked up first, and read by the model with the question.',
    input: { mean: 2048, cv: 0.5, max: 8192, origin: 'assumed' },
    output: { mean: 256, cv: 1, max: 1024, origin: 'assumed' },
    calls: 1, load: 0.7, cv: 1,
    prefix: { tokens: 256, groups: 1, share: 1 },
    slo: { ttftMs: 2000, tpotMs: 200, origin: MLPERF },
    patience: { ms: 2000, until: 'first token', origin: MLPERF },
    streamed: true,
    before: [
      GATEWAY,
      { name: 'embed query', ms: 20, range: [10, 30], origin: RETRIEVAL_BY },
      { name: 'vector search', ms: 60, range: [20, 100], origin: RETRIEVAL_BY },
      { name: 'rerank', ms: 125, range: [50, 200], origin: RETRIEVAL_BY },
    ],
    between: [], after: [],
  },
  code: {
    label: 'Code',
    says: 'An editor suggests the rest of the line before the next key is pressed.',
    input: { mean: 2048, cv: 0.96, max: 7437, origin: AZURE },
    output: { mean: 28, cv: 2.15, max: 1899, origin: AZURE },
    calls: 1, load: 0.6, cv: 3,
    prefix: { tokens: 1024, groups: 64, share: 0.8 },
    slo: { ttftMs: 125, tpotMs: 200, origin: { source: 'DistServe (OSDI 2024)', conditions: 'code completion, OPT-66B' } },
    patience: { ms: 200, until: 'whole answer', origin: { source: 'D. Cheney, How GitHub Copilot Serves 400 Million Completion Requests a Day (InfoQ, 2025)', conditions: 'mean response below 200 ms' } },
    streamed: false,
    before: [GATEWAY], between: [], after: [],
  },
  agent: {
    label: 'Agent',
    says: 'The model asks a tool, reads what it found, and only then answers.',
    input: { mean: 2048, cv: 0.7, max: 16384, origin: 'assumed' },
    output: { mean: 64, cv: 1, max: 1024, origin: 'assumed' },
    calls: 2, load: 0.7, cv: 2,
    prefix: { tokens: 1536, groups: 8, share: 1 },
    slo: { ttftMs: 1000, tpotMs: 50, origin: 'assumed' },
    patience: { ms: 10_000, until: 'first token', origin: { source: NIELSEN, conditions: 'ten seconds keep the attention' } },
    streamed: true,
    before: [GATEWAY],
    between: [{ name: 'tool', ms: 500, range: [250, 1200], origin: { source: 'Scavio, Search API Latency Budget (2026)', conditions: 'medians of six web-search services, and the median of these' } }],
    after: [],
  },
  voice: {
    label: 'Voice',
    says: 'A caller has stopped speaking and listens to the silence.',
    input: { mean: 512, cv: 0.5, max: 2048, origin: 'assumed' },
    output: { mean: 64, cv: 0.7, max: 256, origin: 'assumed' },
    calls: 1, load: 0.5, cv: 1,
    prefix: { tokens: 384, groups: 4, share: 1 },
    slo: { ttftMs: 350, tpotMs: 50, origin: 'assumed' },
    patience: { ms: 1000, until: 'first sound', origin: { source: 'Vapi, Building and Integrating (playbook)', conditions: 'about 1,000 ms from the last word to the first' } },
    streamed: true,
    before: [
      { name: 'silence', ms: 150, range: [100, 200], origin: VOICE_BY },
      { name: 'ASR', ms: 100, range: [50, 150], origin: VOICE_BY, beside: true },
      GATEWAY,
    ],
    between: [],
    after: [{ name: 'TTS', ms: 150, range: [100, 200], origin: VOICE_BY, tokens: 8 }],
  },
  batch: {
    label: 'Batch',
    says: 'Documents are worked through overnight; nobody waits for any one of them.',
    input: { mean: 1024, cv: 1, max: 8192, origin: 'assumed' },
    output: { mean: 512, cv: 1, max: 4096, origin: 'assumed' },
    calls: 1, load: 0.95, cv: 1,
    prefix: { tokens: 512, groups: 1, share: 1 },
    slo: { ttftMs: null, tpotMs: null, origin: 'assumed' },
    patience: { ms: 8 * 3_600_000, until: 'whole answer', origin: 'assumed' },
    streamed: false,
    before: [GATEWAY], between: [], after: [],
  },
} as const satisfies Record<string, TalkWorkload>

export type Preset = keyof typeof WORKLOADS
export const PRESETS = Object.keys(WORKLOADS) as Preset[]

/** The workload, as its parameter stands on every slide that has one: chosen on one of them, it is carried on to the others. */
export const preset = choice({
  options: Object.fromEntries(PRESETS.map((name) => [name, WORKLOADS[name].label])) as Record<Preset, string>,
  default: 'chat',
  label: 'Workload',
  hint: 'Whose requests: their lengths, how they come, and how long somebody waits for them.',
  shared: [3, 14, 22],
})

/** The workload as a scenario's arrivals, lengths, shared prefixes and limits; the rate is its `load` of what a machine sustains. */
export function scenarioOf({ input, output, cv, prefix, slo }: TalkWorkload): ScenarioJson {
  const lengths = ({ mean, cv: spread, max }: Lengths) => ({ dist: 'lognormal' as const, mean, cv: spread, max })
  return {
    arrivals: cv === 1 ? { process: 'poisson' } : { process: 'gamma', cv },
    input: lengths(input),
    output: lengths(output),
    prefixes: { ...prefix },
    slo: slo.ttftMs === null && slo.tpotMs === null ? null : { ttft_ms: slo.ttftMs, tpot_ms: slo.tpotMs },
  }
}
