import type { Provenance } from './provenance'

/** Milliseconds on the engine's clock, from the start of the run. */
export type Milliseconds = number

export type EventKind =
  | 'sent' // the client's scheduled arrival: latency is measured from here
  | 'gateway' // reached the engine's door (network out is over)
  | 'queued' // tokenized, in line
  | 'scheduled' // first granted a place in a step
  | 'prefill' // a chunk of the prompt was computed
  | 'token' // an output token reached the client
  | 'draft' // a token was proposed, to be verified by the target model
  | 'verify' // the target model has looked at the drafts
  | 'preempted'
  | 'cached' // prefix blocks found in the cache
  | 'offloaded'
  | 'finished'
  | 'rejected'
  | 'failed'

export interface Event {
  t: Milliseconds
  request: number
  kind: EventKind
  /** token, draft: id of the token. */
  token?: number
  /** token, draft: its text as it reads after what came before. */
  text?: string
  /** prefill, cached: how many tokens; draft: how many were proposed (absent: the one of `token`); verify: how many were accepted. */
  count?: number
  /** draft of a tree: which of the drafts since the last verification it follows, −1 for the text itself. Absent: the draft before it. */
  parent?: number
  /** verify of a tree: which of the drafts were accepted, in order. Absent: the first `count`. */
  path?: number[]
  /** rejected, failed: why, and what to do. preempted: 'recompute' | 'swap'. */
  reason?: string
  /** Which replica did it, when there are several. */
  replica?: number
}

/** What one request asked of one step, and what that would have cost alone. */
export interface StepShare {
  request: number
  /** Tokens computed for this request in this step. */
  tokens: number
  /** Tokens already in its KV cache before the step. */
  context: number
  /** True when the step ended in a sampled token. */
  sampled: boolean
  /** FLOPs and bytes of the same work in a batch of one (weights read for it alone). */
  soloFlops: number
  soloBytes: number
  /**
   * Ids of the KV blocks that the request holds from this step on and did not hold before, in the order of its
   * positions; absent where it took none. It gives all of them back when it is preempted or over. Traces of an
   * allocator that keeps counts only have none.
   */
  blocks?: number[]
}

/** One pass over the weights. */
export interface Step {
  start: Milliseconds
  duration: Milliseconds
  batch: StepShare[]
  /** Floating-point operations that had to be done (REFERENCE §2). */
  flops: number
  /** Bytes that had to move: weights touched once, KV read and written, activations. */
  bytes: number
  /** Bytes that the step goes through again and again: picks the point of the bandwidth curve. */
  workingSet: number
  /** KV blocks held when the step ended. */
  kvBlocks: number
  dispatches?: number
  replica?: number
  /** Absent: a step of the model that is served; draft: of the small one that guesses for it. */
  role?: 'draft'
  /** Mixture of experts: what was read of it. */
  experts?: ExpertReads
}

export interface ExpertReads {
  /** Distinct (layer, expert) pairs whose weights were read, and all there are. */
  touched: number
  total: number
  /** Expert ids, layer by layer, row by row, `perToken` each, most weight first; only where they were asked for. */
  choices?: Uint8Array
  perToken: number
}

export interface RequestRecord {
  id: number
  /** What its client calls it (X-Request-Id), where it says so. */
  name?: string
  /** Scheduled arrival, ms. Latency counts from here, so that a saturated server cannot hide its queue. */
  arrival: Milliseconds
  promptTokens: number
  /** Output tokens asked for at most. */
  maxTokens: number
  /** Texts of the prompt's tokens, where there is a text. */
  promptTexts?: string[]
  /** One-way network time, ms: out before 'gateway', back after the engine produced a token. */
  network?: { out: Milliseconds; back: Milliseconds }
  /** Positions of the prompt that were declared present without being computed: for timing decode at a context. */
  present?: number
  /** True beyond the model's trained context, or for a synthetic model: read the times, not the text. */
  timingOnly?: boolean
}

/** What the device can do at best, as measured (or stated) for it; the bottleneck is judged against these. */
export interface Roofs {
  /** Best matmul rate, FLOP/s. */
  flopsPerSecond: number
  /** Best read rate at each working-set size, ascending in bytes. */
  read: { bytes: number; bytesPerSecond: number }[]
  /** Time of an empty step: dispatch, readback, interpreter. */
  overheadMs?: Milliseconds
}

/** What a server says of itself over a run: from its /metrics, beside what its client saw. */
export interface ServerView {
  /** Whose names the figures had. */
  kind: 'vllm' | 'sglang' | 'unknown'
  /** Gauges as they were read; kvUse is 0 … 1. */
  samples: { t: Milliseconds; running?: number; waiting?: number; kvUse?: number }[]
  /** Means over the run of what the server timed. */
  ttft?: ServerTime
  itl?: ServerTime
  e2e?: ServerTime
  queue?: ServerTime
  prefill?: ServerTime
  decode?: ServerTime
  /** What its counters grew by. */
  preemptions?: number
  promptTokens?: number
  outputTokens?: number
  prefixQueries?: number
  prefixHits?: number
}

export interface ServerTime {
  meanMs: Milliseconds
  /** How many were timed. */
  count: number
}

/** Everything on screen is a function of one of these. */
export interface Trace {
  provenance: Provenance
  requests: RequestRecord[]
  events: Event[]
  steps: Step[]
  roofs?: Roofs
  /** Smallest difference the clock can tell, ms. */
  resolution?: Milliseconds
  /** KV blocks in the pool (16 tokens each unless said). */
  kvBlocksTotal?: number
  blockSize?: number
  /** Bytes of the model's weights as they are stored here, and of the keys and values of one position. */
  held?: { weightBytes: number; kvBytesPerToken: number; parameters: number }
  /** What turning text into tokens takes and tokens into text, ms a token, where it was asked for. */
  text?: { encodeMs: Milliseconds; decodeMs: Milliseconds }
  /** A client's Trace of somebody's server: what that server says of the same time. Its steps are not known. */
  server?: ServerView
}
