import type { Bottleneck } from '$engine/trace/bottleneck'
import type { Unit } from '$engine/trace/quantity'
import type { Lever } from '../levers'

/** What acts on a symptom: a lever that can be simulated, or what surrounds the model: host, proxy, client. */
export type Act = Lever | 'host'

/** What one reporter measured before and after pulling the lever. */
export interface Reported {
  of: string
  from: number
  to: number
  unit: Unit
}

export interface Symptom {
  id: string
  /** As somebody would complain, in five words or so. */
  says: string
  /** The bottleneck that is left once what stays flat is ruled out; a second where the first leads to it. */
  bottlenecks: readonly Bottleneck[]
  /** The figure that levers are ranked by. */
  metric: 'ttft' | 'tpot' | 'p99'
  moves: string
  /** What does not move, where that decides. */
  flat?: string
  cause: string
  acts: readonly Act[]
  /** What was done. */
  done: string
  reported?: Reported
  /** How to make sure. */
  check: string
  source: string
  url: string
  /** By a comparison, a profile or a maintainer; else it is the reporter's suspicion. */
  confirmed: boolean
}

const thread = (repository: string, number: number) => ({ source: `${repository.split('/')[1]}#${number}`, url: `https://github.com/${repository}/issues/${number}` })
const VLLM = 'vllm-project/vllm'
const SGLANG = 'sgl-project/sglang'
const OLLAMA = 'ollama/ollama'

/** Thirty complaints of people who serve models, in public threads; each figure is that one reporter's. */
export const SYMPTOMS: readonly Symptom[] = [
  { id: 'long-prompt', says: 'One long prompt freezes all', bottlenecks: ['compute', 'queue'], metric: 'p99', moves: 'TTFT and token gaps of everybody else', cause: 'One prefill takes every step’s whole token budget.', acts: ['batching', 'cache', 'prompt'], done: 'smaller prefill chunks', reported: { of: 'worst freeze', from: 440, to: 25, unit: 's' }, check: 'Gaps between tokens fall where a prefill runs.', ...thread('MiaAI-Lab/GLM-5.3-Flash-EXL3-2x-DGX-Sparks', 110), source: 'GLM-5.3…Sparks#110', confirmed: true },
  { id: 'prefill-full', says: 'TTFT grows with prompt tokens', bottlenecks: ['compute'], metric: 'ttft', moves: 'TTFT', flat: 'time in line', cause: 'Prefill has used up the arithmetic there is.', acts: ['capacity', 'prompt', 'cache', 'hardware'], done: 'less load on each replica', check: 'Prefill time follows the uncached tokens, the line is empty.', ...thread(VLLM, 8086), confirmed: false },
  { id: 'draft-busy', says: 'Drafting slows a busy server', bottlenecks: ['compute'], metric: 'tpot', moves: 'TPOT at high load', flat: 'the gain at low load', cause: 'Verifying drafts takes arithmetic that a full batch needs.', acts: ['speculation', 'capacity'], done: 'fewer drafts, or none, when busy', check: 'Sweep the load with and without drafting.', source: 'vLLM blog, speculative decoding', url: 'https://blog.vllm.ai/2024/10/17/spec-decode.html', confirmed: true },
  { id: 'slow-kernel', says: '4-bit model far too slow', bottlenecks: ['compute'], metric: 'tpot', moves: 'tokens per second', cause: 'An older kernel unpacks the weights.', acts: ['quantization', 'host'], done: 'the faster kernel of the same format', reported: { of: 'decode', from: 23, to: 123, unit: 'tok/s' }, check: 'The server names its kernel when it starts.', ...thread(VLLM, 21376), confirmed: true },
  { id: 'adapters', says: 'Adapters halve the peak', bottlenecks: ['compute', 'overhead'], metric: 'tpot', moves: 'TPOT and throughput', cause: 'Each adapter adds small kernels to every layer.', acts: ['host', 'smaller'], done: 'a lower rank, or merged weights', reported: { of: 'mean latency', from: 780, to: 400, unit: 'ms' }, check: 'A kernel trace with and without adapters.', ...thread(VLLM, 10062), confirmed: true },
  { id: 'hot', says: 'Prefill fades after minutes', bottlenecks: ['compute'], metric: 'ttft', moves: 'prefill', flat: 'decode', cause: 'Heat or the power limit lowers the clock.', acts: ['host', 'hardware'], done: 'cooling', check: 'The driver’s reasons for a lower clock.', ...thread('flashinfer-ai/flashinfer', 2899), confirmed: true },
  { id: 'preempted', says: 'Tokens stall, KV cache full', bottlenecks: ['memory', 'queue'], metric: 'p99', moves: 'p99 of token gaps, whole answers', cause: 'Requests lose their blocks and compute them again.', acts: ['quantization', 'capacity', 'output'], done: 'admit fewer: a watermark of free blocks', reported: { of: 'p99 of token gaps', from: 40.6, to: 17.7, unit: 'ms' }, check: 'The counter of preemptions. TTFT pays for it.', ...thread(VLLM, 44594), confirmed: true },
  { id: 'kv-places', says: '256 allowed, 72 run, rest wait', bottlenecks: ['memory', 'queue'], metric: 'ttft', moves: 'TTFT', cause: 'The KV pool holds no more than seventy or eighty.', acts: ['quantization', 'capacity', 'prompt'], done: 'as many at once as the pool holds', check: 'Requests running and waiting, side by side.', ...thread('Tandemn-Labs/tandemn-system', 11), confirmed: true },
  { id: 'reserved', says: 'One by one, max_tokens huge', bottlenecks: ['memory', 'queue'], metric: 'ttft', moves: 'TTFT', cause: 'Memory is set aside for the longest answer allowed.', acts: ['output', 'host'], done: 'a realistic limit', check: 'More run at once with a lower limit.', ...thread('NVIDIA/TensorRT-LLM', 9412), confirmed: false },
  { id: 'long-context', says: 'Throughput falls past 8k tokens', bottlenecks: ['memory'], metric: 'tpot', moves: 'TPOT', cause: 'Each token reads the whole cache before it.', acts: ['quantization', 'prompt', 'hardware'], done: 'a better attention kernel, KV in 8 bits', reported: { of: 'throughput', from: 5364, to: 273, unit: 'tok/s' }, check: 'TPOT against context: a slope, not a step.', ...thread(VLLM, 11286), confirmed: false },
  { id: 'prefix-voided', says: 'Every agent turn starts cold', bottlenecks: ['memory', 'compute'], metric: 'ttft', moves: 'TTFT', flat: 'TPOT', cause: 'A changing line at the head voids the cached prefix.', acts: ['cache', 'prompt'], done: 'what changes goes to the end', reported: { of: 'TTFT', from: 50, to: 3.65, unit: 's' }, check: 'Compare two prompts; count cache hits.', ...thread('waybarrios/vllm-mlx', 277), confirmed: true },
  { id: 'evicted', says: 'Long chats lose their cache', bottlenecks: ['memory'], metric: 'ttft', moves: 'TTFT', cause: 'Prefixes are evicted before they are asked for again.', acts: ['cache', 'capacity'], done: 'a second tier in host memory', check: 'Age of what is evicted. A slow tier makes it worse.', source: 'LMSYS blog, HiCache', url: 'https://lmsys.org/blog/2025-09-10-sglang-hicache/', confirmed: true },
  { id: 'spill', says: 'A bit more context, 10× slower', bottlenecks: ['memory'], metric: 'tpot', moves: 'TPOT and TTFT', cause: 'It no longer fits: part is read over the bus.', acts: ['quantization', 'smaller', 'prompt'], done: 'less context, some headroom', check: 'Device busy, its bandwidth hardly used.', ...thread(OLLAMA, 15634), confirmed: true },
  { id: 'unloaded', says: 'First message after a pause', bottlenecks: ['overhead'], metric: 'ttft', moves: 'TTFT', flat: 'TPOT', cause: 'The idle model was unloaded; weights are cold.', acts: ['host'], done: 'keep it loaded', check: 'The load time that the server reports.', source: 'maya#31', url: 'https://github.com/search?type=issues&q=maya+keep+alive+first+message+cold+model', confirmed: true },
  { id: 'head-of-line', says: 'Short waits behind long prompts', bottlenecks: ['queue'], metric: 'p99', moves: 'p99 of TTFT', cause: 'The first in line does not fit, and nobody overtakes.', acts: ['batching', 'capacity', 'batch_lane'], done: 'few long prefills at once', reported: { of: 'median TTFT', from: 555, to: 338, unit: 'ms' }, check: 'TTFT by prompt size.', ...thread(SGLANG, 22831), confirmed: false },
  { id: 'scattered', says: 'More replicas, same TTFT', bottlenecks: ['queue', 'compute'], metric: 'ttft', moves: 'TTFT, hit rate', cause: 'Each replica sees a few of each prefix’s requests.', acts: ['cache', 'batching'], done: 'routing by prefix lost', reported: { of: 'TTFT with a single prefix', from: 627, to: 1617, unit: 'ms' }, check: 'Hit rate of each replica.', ...thread(SGLANG, 21199), confirmed: true },
  { id: 'hot-experts', says: 'MoE slower than its active size', bottlenecks: ['queue'], metric: 'tpot', moves: 'throughput', cause: 'All wait for the device with the popular experts.', acts: ['moe', 'host'], done: 'experts moved, the popular ones copied', check: 'Tokens each expert gets.', ...thread('ROCm/ATOM', 1210), confirmed: true },
  { id: 'client-pool', says: 'Never more than 100 in flight', bottlenecks: ['queue', 'network'], metric: 'ttft', moves: 'TTFT as the client sees it', flat: 'TTFT as the server sees it', cause: 'The client’s own connection pool is the line.', acts: ['host'], done: 'a larger pool', check: 'In flight at the server against the client.', ...thread('huggingface/lighteval', 1190), confirmed: true },
  { id: 'two-gpus', says: 'Two GPUs slower than one', bottlenecks: ['network'], metric: 'tpot', moves: 'TPOT', cause: 'Devices exchange every layer; small batches wait for it.', acts: ['capacity', 'hardware'], done: 'a replica on each', check: 'Time in collectives.', ...thread('pytorch-labs/gpt-fast', 111), confirmed: true },
  { id: 'kv-transfer', says: 'Split prefill adds seconds', bottlenecks: ['network'], metric: 'ttft', moves: 'TTFT', flat: 'TPOT', cause: 'The cache travels to the decoder over plain TCP.', acts: ['host', 'nearby'], done: 'RDMA', reported: { of: 'transfer', from: 1803, to: 3, unit: 'ms' }, check: 'Which transport the log names.', ...thread('ai-dynamo/dynamo', 1314), confirmed: true },
  { id: 'buffered', says: 'Text comes in bursts', bottlenecks: ['network'], metric: 'ttft', moves: 'TTFT, while token gaps look better', cause: 'A proxy on the way collects the stream.', acts: ['host'], done: 'buffering off, HTTP 1.1 upstream', reported: { of: 'TTFT through the proxy', from: 287, to: 22, unit: 'ms' }, check: 'The same request with and without the proxy.', ...thread('confidential-dot-ai/c8s', 140), confirmed: true },
  { id: 'gateway', says: 'Gateway adds seconds when busy', bottlenecks: ['network', 'overhead'], metric: 'ttft', moves: 'whole answers', flat: 'the model’s own time', cause: 'The gateway’s HTTP client is the bottleneck.', acts: ['host', 'nearby'], done: 'another transport', reported: { of: 'median latency', from: 2500, to: 74, unit: 'ms' }, check: 'The overhead that the gateway reports of itself.', ...thread('BerriAI/litellm', 11097), confirmed: true },
  { id: 'host-bound', says: 'Small model, idle GPU', bottlenecks: ['overhead'], metric: 'tpot', moves: 'TPOT, throughput', cause: 'HTTP and scheduling take longer than the step.', acts: ['host', 'batching'], done: 'processes apart, several steps at once', check: 'A core at its limit; gaps between kernels.', source: 'vLLM blog, v0.6.0', url: 'https://blog.vllm.ai/2024/09/05/perf-update.html', confirmed: true },
  { id: 'detokenise', says: 'Client sees slower tokens', bottlenecks: ['overhead'], metric: 'tpot', moves: 'token gaps at the client', flat: 'token gaps in the engine', cause: 'Turning ids into text holds up the stream.', acts: ['host'], done: 'detokenising off the path', reported: { of: 'token gap', from: 180, to: 39, unit: 'ms' }, check: 'Client against engine.', ...thread(SGLANG, 23393), confirmed: true },
  { id: 'admission', says: 'None waits, yet few run', bottlenecks: ['overhead', 'queue'], metric: 'p99', moves: 'TTFT', flat: 'decode', cause: 'Requests are prepared one by one before they are admitted.', acts: ['host', 'capacity'], done: 'preparation in parallel', reported: { of: 'p95 of TTFT', from: 22.6, to: 0.9, unit: 's' }, check: 'From arrival to admission.', ...thread(VLLM, 44688), confirmed: true },
  { id: 'grammar', says: 'JSON mode slows everybody', bottlenecks: ['overhead', 'queue'], metric: 'tpot', moves: 'TPOT and TTFT', cause: 'Masks for the grammar are made while the batch waits.', acts: ['host'], done: 'a faster grammar engine', reported: { of: 'TPOT with a schema', from: 75, to: 1700, unit: 'ms/token' }, check: 'The same load without a schema.', ...thread(VLLM, 3567), confirmed: true },
  { id: 'collector', says: 'A stall every other second', bottlenecks: ['overhead'], metric: 'p99', moves: 'p99', flat: 'the median', cause: 'The host’s garbage collector stops the loop.', acts: ['host'], done: 'the heap frozen after start', check: 'The collector’s own log.', ...thread(SGLANG, 9241), confirmed: true },
  { id: 'threads', says: 'TPOT collapses in a container', bottlenecks: ['overhead'], metric: 'tpot', moves: 'TPOT', cause: 'More threads than the quota has cores.', acts: ['host'], done: 'threads by the quota', reported: { of: 'decode', from: 0.27, to: 12.07, unit: 'tok/s' }, check: 'How often the container is throttled.', ...thread(OLLAMA, 17916), confirmed: true },
  { id: 'launches', says: 'Slow decode, GPU half idle', bottlenecks: ['overhead'], metric: 'tpot', moves: 'TPOT', cause: 'Launching each kernel takes longer than running it.', acts: ['host', 'speculation'], done: 'the whole step as one graph', reported: { of: 'decode', from: 11, to: 45.9, unit: 'tok/s' }, check: 'Gaps between kernels.', source: 'VLM-Surgical#5', url: 'https://github.com/search?type=issues&q=VLM-Surgical+CUDA+graphs+decode', confirmed: true },
  { id: 'cold-replica', says: 'First wave after scaling waits', bottlenecks: ['overhead', 'queue'], metric: 'p99', moves: 'TTFT', flat: 'token gaps', cause: 'A new replica loads, compiles and captures first.', acts: ['capacity', 'host'], done: 'warm-up, and a cache of what was compiled', check: 'TTFT by the request’s number.', ...thread(VLLM, 19824), confirmed: true },
]

/** Where each lever is explained. */
export const SLIDE_OF: Record<Act, string> = {
  smaller: '15_smaller_models', moe: '16_moe_sparsity', speculation: '17_proxy_models', quantization: '18_quantization', cache: '09_cached_prefix',
  batching: '13_long_requests_cost', capacity: '20_add_capacity', hardware: '21_new_hardware', prompt: '09_cached_prefix', output: '07_output_dominates',
  batch_lane: '10_batch_size_tradeoff', nearby: '12_global_routing_vs_queue', host: '01_what_makes_slow',
}

/** What pulling it takes of people: our judgement, as no run can tell. */
export const EFFORT: Record<Act, 'a setting' | 'a release' | 'a project' | 'a purchase'> = {
  smaller: 'a release', moe: 'a project', speculation: 'a release', quantization: 'a release', cache: 'a setting', batching: 'a setting',
  capacity: 'a purchase', hardware: 'a purchase', prompt: 'a release', output: 'a setting', batch_lane: 'a release', nearby: 'a purchase', host: 'a setting',
}
/** What it does to answers where no run of ours measures it. */
export const QUALITY: Record<Act, string> = {
  smaller: 'measure it', moe: 'measure it', speculation: 'same text', quantization: 'measure it', cache: 'same text', batching: 'same text',
  capacity: 'same text', hardware: 'same text', prompt: 'measure it', output: 'cut short', batch_lane: 'same text', nearby: 'same text', host: 'same text',
}
