import { kvBytesPerToken, modelSpec } from '../../cost/models'
import { BLOCK_SIZE } from '../../runner/runner'
import type { Job } from '../../serving/replica'
import type { SimulationResult } from '../../serving/result'
import { parseScenario, type ScenarioJson } from '../../serving/scenario'
import { simulate } from '../../serving/simulate'
import { A100_2023, kvTokens } from './roofs'

/** Claims about whole servers: the same scheduler as everywhere, in virtual time, one seed. */

const A100_80 = { ...steps2023(), hardware: 'a100-80-sxm' } as const

function steps2023() {
  const { hardware, mfu, mbu, overheadMs } = A100_2023
  return { kind: 'roofline', hardware, mfu, mbu, overhead_ms: overheadMs } as const
}

const blocks = (hardware: string, model: string) => Math.floor(kvTokens(hardware, model) / BLOCK_SIZE)

function run(scenario: Omit<ScenarioJson, 'version'>): SimulationResult {
  return simulate(parseScenario({ version: 1, ...scenario })).result
}

/**
 * The highest rate, req/s, at which `holds`; to 2 %. Assumes that what holds at a rate holds at all lower
 * ones. 0 when not even a request in a hundred seconds is served well enough.
 */
export function capacity(holds: (rate: number) => boolean): number {
  const step = 1.5
  let low = 1
  if (holds(low)) {
    while (holds(low * step)) low *= step
  } else {
    do low /= step
    while (low > 0.01 && !holds(low))
    if (low <= 0.01) return 0
  }
  let high = low * step
  while (high / low > 1.02) {
    const middle = Math.sqrt(low * high)
    if (holds(middle)) low = middle
    else high = middle
  }
  return low
}

/** Lognormal with this median and 90th percentile. */
function lognormal(median: number, p90: number, max: number): NonNullable<ScenarioJson['input']> {
  const sigma = Math.log(p90 / median) / 1.2816
  return { dist: 'lognormal', mean: median * Math.exp(sigma ** 2 / 2), cv: Math.sqrt(Math.exp(sigma ** 2) - 1), max }
}

/** Requests per second that blocks reached one by one serve, over those that set the longest answer aside in one piece; mean time per output token below `limitMs`. */
export function pagedOverReserved(limitMs: number): number {
  const most = (allocation: 'paged' | 'contiguous') => capacity((rate) => {
    const r = run({
      requests: 800, warmup: 100, arrivals: { rate }, input: { dist: 'exponential', mean: 161.31, max: 1024 }, output: { dist: 'exponential', mean: 337.99, max: 1024 },
      steps: { ...steps2023(), model: 'opt-13b' }, scheduler: { policy: 'prefill-first', kv_blocks: blocks(A100_2023.hardware, 'opt-13b'), kv_allocation: allocation },
    })
    return r.mean_e2el_ms! / (r.total_output_tokens / r.completed) < limitMs
  })
  return most('paged') / most('contiguous')
}

/** Gaps between a request's tokens, all requests together: the 99th percentile, ms, from every step of a run. */
class Gaps {
  private readonly last = new WeakMap<Job, number>()
  private readonly gaps: number[] = []

  step(end: number, jobs: readonly Job[], first: number, granted: number, index: number): void {
    for (let i = first; i < first + granted; i++) {
      const job = jobs[i]!
      if (job.computed + index + job.granted < job.promptTokens) continue
      const before = this.last.get(job)
      if (before !== undefined) this.gaps.push(end - before)
      this.last.set(job, end)
    }
  }

  p99(): number {
    this.gaps.sort((a, b) => a - b)
    return this.gaps[Math.floor(0.99 * this.gaps.length)] ?? 0
  }
}

/** Medians and 90th percentiles of Sarathi-Serve's two data sets (its table 2). */
const SARATHI = {
  chats: { input: lognormal(1730, 5696, 8192), output: lognormal(415, 834, 8192) },
  papers: { input: lognormal(7059, 12985, 16384), output: lognormal(208, 371, 8192) },
}

/** Capacity of Mistral-7B on one A100 with prompts in chunks of 512, over prompts that stall everybody: p99 gap below 100 ms, median wait below 2 s. */
export function chunkedOverStalling(set: keyof typeof SARATHI): number {
  const most = (scheduler: ScenarioJson['scheduler']) => capacity((rate) => {
    const gaps = new Gaps()
    const scenario = parseScenario({
      version: 1, requests: 300, warmup: 50, arrivals: { rate }, ...SARATHI[set], steps: { ...A100_80, model: 'mistral-7b' },
      scheduler: { kv_blocks: blocks('a100-80-sxm', 'mistral-7b'), max_sequences: 128, ...scheduler },
    })
    const { result } = simulate(scenario, { onStep: (_replica, _start, end, jobs, first, granted, index) => gaps.step(end, jobs, first, granted, index) })
    return result.wait_ms!.p50 < 2000 && gaps.p99() < 100
  })
  return most({ max_batched_tokens: 512 }) / most({ policy: 'prefill-first', chunked_prefill: false, max_batched_tokens: 16384 })
}

/** Lengths and limits (ms) of two of DistServe's applications, OPT-13B on A100-80: its figure 7 and table 1. */
const DISTSERVE = {
  chat: { input: 755, output: 200, ttft: 200, tpot: 100 },
  code: { input: 171, output: 98, ttft: 125, tpot: 200 },
}

/** Goodput per device and the tightest limits of separate pools, over one server that does both. */
export function separatePools(application: keyof typeof DISTSERVE): { goodput: number; tighter: number } {
  const { input, output, ttft, tpot } = DISTSERVE[application]
  const kept = (rate: number, scale: number, apart: boolean) => {
    const r = run({
      requests: 1500, warmup: 100, arrivals: { rate: apart ? 2 * rate : rate }, input: { dist: 'exponential', mean: input, max: 1500 }, output: { dist: 'exponential', mean: output, max: 548 },
      steps: { kind: 'roofline', hardware: 'a100-80-sxm', model: 'opt-13b' }, slo: { ttft_ms: ttft * scale, tpot_ms: tpot * scale },
      ...(apart
        ? { replicas: 2, router: 'shortest-queue', disaggregation: { prefill_replicas: 1, transfer_ms_per_token: NVLINK_MS_PER_TOKEN } }
        : {}),
      scheduler: { kv_blocks: blocks('a100-80-sxm', 'opt-13b'), ...(apart ? {} : { policy: 'prefill-first', chunked_prefill: false }) },
    })
    return r.request_goodput! / r.request_throughput >= 0.9
  }
  const goodput = (apart: boolean) => capacity((rate) => kept(rate, 1, apart))
  const shared = goodput(false)
  // At half of what one server carries: how far may the limits come down? As a rate of limits, 1/scale.
  const tightest = (apart: boolean) => capacity((tighter) => kept(shared / 2, 1 / tighter, apart))
  return { goodput: goodput(true) / shared, tighter: tightest(true) / tightest(false) }
}
/** OPT-13B's keys and values of a token, 819 kB, over 600 GB/s. */
const NVLINK_MS_PER_TOKEN = (kvBytesPerToken(modelSpec('opt-13b'), 2) / 600e9) * 1000

/** Mean TTFT without offload over the same with it, where the gain is largest; Llama-2-7B on an L40S (its bandwidth is that of the L20 measured there), PCIe at 25 GB/s. */
export function offloadGain(): { gain: number; rate: number; tpot: number } {
  const kvBlocks = blocks('l40s', 'llama-2-7b')
  const perBlock = ((BLOCK_SIZE * kvBytesPerToken(modelSpec('llama-2-7b'), 2)) / 25e9) * 1000
  const at = (rate: number, offload: boolean) => run({
    requests: 600, warmup: 60, arrivals: { rate }, input: { dist: 'fixed', mean: 4096 }, output: { dist: 'exponential', mean: 256, max: 2048 },
    steps: { kind: 'roofline', hardware: 'l40s', model: 'llama-2-7b' },
    scheduler: { kv_blocks: kvBlocks, max_batched_tokens: 8192, ...(offload ? { kv_offload: { layers: 32, keep_layers: 4, ms_per_block: perBlock } } : {}) },
  })
  let best = { gain: 0, rate: 0, tpot: 0 }
  for (let rate = 0.45; rate < 0.72; rate += 0.05) {
    const [plain, offloaded] = [at(rate, false), at(rate, true)]
    const gain = plain.mean_ttft_ms! / offloaded.mean_ttft_ms!
    if (gain > best.gain) best = { gain, rate, tpot: offloaded.mean_tpot_ms! / plain.mean_tpot_ms! }
  }
  return best
}

/** Requests per second with a prefix tree over without: 64 at a time, five examples of 128 tokens before a question of 80, answers of so many tokens. */
export function prefixGain(answer: number): { gain: number; hit: number } {
  const at = (tree: boolean) => run({
    requests: 2000, warmup: 100, arrivals: { process: 'closed', concurrency: 64 }, input: { mean: 720 }, output: { dist: 'fixed', mean: answer }, prefixes: { groups: 57, tokens: 640 },
    steps: { ...A100_80, model: 'llama-2-7b' }, scheduler: { kv_blocks: blocks('a100-80-sxm', 'llama-2-7b'), prefix_cache: tree, max_batched_tokens: 8192 },
  })
  const [with_, without] = [at(true), at(false)]
  return { gain: with_.request_throughput / without.request_throughput, hit: with_.prefix_hit_rate! }
}

/** Mean TTFT, ms, of the reported benchmark: 400 requests at 3 a second, 2,548 shared and 7,252 own tokens, answers of 430. */
export function oneSharedPrefix(router: 'prefix-affinity' | 'round-robin', replicas = 2): number {
  return run({
    requests: 400, warmup: 16, arrivals: { rate: 3 }, input: { mean: 9800 }, output: { dist: 'fixed', mean: 430 }, prefixes: { groups: 1, tokens: 2548 },
    steps: { kind: 'roofline', hardware: 'h100-sxm', model: 'deepseek-v3', tensor_parallel: 8, dtype: 'fp8' },
    scheduler: { prefix_cache: true, max_batched_tokens: 8192 }, replicas, router,
  }).mean_ttft_ms!
}

/** Mean TPOT, ms, of Llama-2-70B at a rate of so many output tokens per second, answers and prompts of 294 tokens on average. */
export function loadedTpot(hardware: string, tensorParallel: number, replicas: number, tokensPerSecond: number): number {
  return run({
    requests: 4000, warmup: 1000, arrivals: { rate: tokensPerSecond / 294 }, input: { dist: 'exponential', mean: 294, max: 1024 }, output: { dist: 'exponential', mean: 294, max: 1024 },
    steps: { kind: 'roofline', hardware, model: 'llama-2-70b', tensor_parallel: tensorParallel, dtype: 'fp8' }, scheduler: { max_sequences: 1024 }, replicas, router: 'shortest-queue',
  }).mean_tpot_ms!
}

/** Share of mean TTFT that chunks save, two in ten prompts of 12,000 tokens among prompts of 512; Llama-3.1-8B on one H100 at 4 req/s. */
export function chunkingSaves(): number {
  const ttft = (scheduler: ScenarioJson['scheduler']) => run({
    requests: 1500, warmup: 100, arrivals: { rate: 4 }, input: { dist: 'empirical', values: [512, 512, 512, 512, 12_000] }, output: { dist: 'exponential', mean: 200 }, steps: { kind: 'roofline' }, scheduler,
  }).mean_ttft_ms!
  return 1 - ttft({ max_batched_tokens: 2048 }) / ttft({ chunked_prefill: false, max_batched_tokens: 16_384 })
}
