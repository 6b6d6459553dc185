import fc from 'fast-check'
import { parseScenario, type Scenario } from '$engine/serving/scenario'

const affine = fc.record({ kind: fc.constant('affine'), base_ms: fc.constantFrom(10, 3.7), per_sequence_ms: fc.constantFrom(0, 0.1), per_context_token_ms: fc.constantFrom(0, 1e-3), per_prefill_token_ms: fc.constantFrom(0, 0.05), per_prefill_token_context_ms: fc.constantFrom(0, 1e-4) })
// Short contexts, many heads: what binds changes from memory to compute as texts grow.
const roofline = fc.record({ kind: fc.constant('roofline'), hardware: fc.constantFrom('l4', 'h100-sxm', 'm2-max'), model: fc.constantFrom('llama-3.1-8b', 'mixtral-8x7b', 'deepseek-v3', 'pythia-70m'), mfu: fc.constantFrom(0.6, 0.01), overhead_ms: fc.constantFrom(0, 1) })
const speculation = fc.constantFrom(null, null, { drafts: 1, acceptance: 1, draft_cost: 0 }, { drafts: 4, acceptance: 0.7, draft_cost: 0.05 })
const steps = fc.tuple(fc.oneof(affine, roofline), speculation).map(([s, speculation]) => ({ ...s, speculation }))
const profile = fc.constantFrom([], [], [0, 2, 1])

/** Scenarios in which everything can happen: preemption, chunking, swapping, offloading, caching, routing, regions, cascades, closed loops. */
export const scenarios: fc.Arbitrary<Scenario> = fc.record({
  seed: fc.nat(1e6),
  requests: fc.integer({ min: 1, max: 60 }),
  arrivals: fc.tuple(fc.oneof(
    fc.record({ process: fc.constant('poisson'), rate: fc.double({ min: 0.2, max: 40, noNaN: true }) }),
    fc.record({ process: fc.constant('deterministic'), rate: fc.constantFrom(1, 10, 100) }), // ties with step ends
    fc.record({ process: fc.constant('gamma'), rate: fc.constant(5), cv: fc.double({ min: 0.5, max: 4, noNaN: true }) }),
    fc.record({ process: fc.constant('mmpp'), rates: fc.constant([1, 30]), dwell_ms: fc.constant(1000) }),
    fc.record({ process: fc.constant('closed'), concurrency: fc.integer({ min: 1, max: 12 }), think_ms: fc.constantFrom(0, 100) }),
  ), profile).map(([arrivals, profile]) => ({ ...arrivals, profile, profile_period_ms: 700 })),
  input: fc.record({ dist: fc.constantFrom('fixed', 'exponential', 'lognormal', 'uniform'), mean: fc.integer({ min: 1, max: 300 }), max: fc.constant(400) }),
  output: fc.record({ dist: fc.constantFrom('fixed', 'exponential'), mean: fc.integer({ min: 1, max: 80 }), max: fc.constant(200) }),
  steps,
  scheduler: fc.record({
    policy: fc.constantFrom('continuous', 'continuous', 'static', 'prefill-first', 'fcfs-one-at-a-time'),
    max_sequences: fc.integer({ min: 1, max: 16 }), max_batched_tokens: fc.integer({ min: 1, max: 512 }), chunked_prefill: fc.boolean(),
    kv_blocks: fc.oneof(fc.constant(null), fc.integer({ min: 12, max: 120 })), preemption: fc.constantFrom('recompute', 'swap'), max_queue: fc.constantFrom(null, 5),
    kv_allocation: fc.constantFrom('paged', 'paged', 'reserved', 'contiguous'), block_size: fc.constantFrom(16, 16, 1, 7, 1500),
  }),
  prefixes: fc.oneof(fc.constant(null), fc.record({ groups: fc.integer({ min: 1, max: 3 }), tokens: fc.constantFrom(16, 64), share: fc.constantFrom(0.5, 1) })),
  long_requests: fc.constantFrom(null, null, { share: 0.2, tokens: 700 }),
  replicas: fc.integer({ min: 1, max: 4 }),
  regions: fc.constantFrom([], [], [{ name: 'a', rtt_ms: 20, replicas: 2 }, { name: 'b', rtt_ms: 0, replicas: 1 }],
    [{ name: 'a', load: 1, rtt_to_ms: [2, 80], replicas: 1, profile: [1, 0, 2] }, { name: 'b', load: 3, rtt_to_ms: [80, 2], replicas: 2 }]),
  router: fc.constantFrom('central-queue', 'central-queue', 'random', 'round-robin', 'shortest-queue', 'power-of-two', 'least-kv', 'prefix-affinity', 'nearest', 'least-latency'),
  router_staleness_ms: fc.constantFrom(0, 50),
  priorities: fc.constantFrom([], [{ share: 1, priority: 0 }, { share: 1, priority: 1 }]),
  batch_lane: fc.constantFrom(null, null, { share: 0.4 }, { share: 0.5, max_running: 1, deadline_ms: 900 }),
  response_cache: fc.constantFrom(null, null, { hit_rate: 0.2, exact_hit_rate: 0.2, false_positive_rate: 0.5 }),
  timeline_ms: fc.constantFrom(null, 100),
  cache: fc.record({ on: fc.boolean(), ttl: fc.constantFrom(null, 200) }),
  offload: fc.constantFrom(null, { layers: 8, keep_layers: 2, ms_per_block: 0.3, host_blocks: 60 }, { layers: 4, keep_layers: 0, ms_per_block: 40 }),
  split: fc.constantFrom(null, null, 'cascade', 'router', 'disaggregation', 'pool', 'autoscaler'),
  small: fc.tuple(affine, fc.integer({ min: 1, max: 2 })),
}).map(({ cache, offload, split, small: [steps, replicas], ...s }) => {
  const { policy, kv_blocks } = s.scheduler
  const kv_allocation = s.scheduler.kv_allocation === 'contiguous' && kv_blocks === null ? 'reserved' : s.scheduler.kv_allocation
  const prefix_cache = cache.on && policy !== 'static' && kv_allocation === 'paged'
  const kv_offload = policy === 'continuous' && kv_allocation === 'paged' && kv_blocks !== null && !prefix_cache ? offload : null
  const parts = split !== null && split !== 'cascade' && split !== 'router'
  const more = {
    ...(split === 'cascade' || split === 'router' ? { cascade: { mode: split === 'cascade' ? 'after-answer' : 'up-front', escalation_rate: 0.4, decide_ms: 3, replicas, kv_blocks: 40, steps } } : {}),
    ...(split === 'disaggregation' ? { disaggregation: { prefill_replicas: 1 } } : {}),
    ...(split === 'autoscaler' ? { autoscaler: { min: 1, interval_ms: 300, up_above: 3, down_below: 1, startup_ms: 500 } } : {}),
  }
  return parseScenario({
    ...s, ...more,
    ...(parts ? { replicas: s.replicas + 1, router: s.router === 'central-queue' ? 'random' : s.router } : {}),
    batch_lane: policy === 'static' ? null : s.batch_lane,
    scheduler: { ...s.scheduler, kv_allocation, prefix_cache, prefix_ttl_ms: cache.ttl, kv_offload, long_request_pool: split === 'pool' ? { threshold_tokens: 150, replicas: 1 } : null },
  })
})
