import type { SlideEntry } from '$components/frame/slide'
import notes00 from './00_cover/notes.md?raw'
import notes01 from './01_what_makes_slow/notes.md?raw'
import notes02 from './02_latency_metrics/notes.md?raw'
import notes03 from './03_latency_budget/notes.md?raw'
import notes04 from './04_tradeoffs/notes.md?raw'
import notes05 from './05_latency_components/notes.md?raw'
import notes06 from './06_model_size/notes.md?raw'
import notes07 from './07_output_dominates/notes.md?raw'
import notes08 from './08_context_length_kv_growth/notes.md?raw'
import notes09 from './09_cached_prefix/notes.md?raw'
import notes10 from './10_batch_size_tradeoff/notes.md?raw'
import notes11 from './11_highway_congestion/notes.md?raw'
import notes12 from './12_global_routing_vs_queue/notes.md?raw'
import notes13 from './13_long_requests_cost/notes.md?raw'
import notes14 from './14_speedups/notes.md?raw'
import notes15 from './15_smaller_models/notes.md?raw'
import notes16 from './16_moe_sparsity/notes.md?raw'
import notes17 from './17_proxy_models/notes.md?raw'
import notes18 from './18_quantization/notes.md?raw'
import notes19 from './19_kv_cache/notes.md?raw'
import notes20 from './20_add_capacity/notes.md?raw'
import notes21 from './21_new_hardware/notes.md?raw'
import notes22 from './22_playbook/notes.md?raw'

/** The talk in its order. Ids are addresses (`/#/05_latency_components`): never renamed. */
export const deck: readonly SlideEntry[] = [
  {
    id: '00_cover',
    headline: 'Where do the milliseconds go?',
    chapter: 'I',
    tags: ['ttft', 'tpot', 'p99', 'compute', 'memory', 'queue', 'network'],
    dark: true,
    load: () => import('./00_cover/Slide.svelte'),
    notes: notes00,
  },
  {
    id: '01_what_makes_slow',
    headline: 'Time goes to five places; one of them spikes',
    chapter: 'I',
    tags: ['ttft', 'tpot', 'p99', 'compute', 'memory', 'queue', 'network'],
    load: () => import('./01_what_makes_slow/Slide.svelte'),
    notes: notes01,
  },
  {
    id: '02_latency_metrics',
    headline: 'Averages hide the tail',
    chapter: 'I',
    tags: ['ttft', 'tpot', 'p99'],
    load: () => import('./02_latency_metrics/Slide.svelte'),
    notes: notes02,
  },
  {
    id: '03_latency_budget',
    headline: 'A budget is spent before the model starts',
    chapter: 'I',
    tags: ['ttft', 'network', 'queue', 'compute'],
    load: () => import('./03_latency_budget/Slide.svelte'),
    notes: notes03,
  },
  {
    id: '04_tradeoffs',
    headline: 'Capability, cost, latency: pick two, then measure',
    chapter: 'I',
    tags: ['tpot', 'compute', 'memory'],
    load: () => import('./04_tradeoffs/Slide.svelte'),
    notes: notes04,
  },
  {
    id: '05_latency_components',
    headline: 'Prefill is compute, decode is memory',
    chapter: 'II',
    tags: ['ttft', 'tpot', 'compute', 'memory'],
    load: () => import('./05_latency_components/Slide.svelte'),
    notes: notes05,
  },
  {
    id: '06_model_size',
    headline: 'More weights, more bytes per token',
    chapter: 'II',
    tags: ['tpot', 'memory'],
    load: () => import('./06_model_size/Slide.svelte'),
    notes: notes06,
  },
  {
    id: '07_output_dominates',
    headline: 'Alone, one token out waits like hundreds in',
    chapter: 'II',
    tags: ['tpot', 'memory'],
    load: () => import('./07_output_dominates/Slide.svelte'),
    notes: notes07,
  },
  {
    id: '08_context_length_kv_growth',
    headline: 'The trailer grows with every token',
    chapter: 'II',
    tags: ['tpot', 'memory'],
    load: () => import('./08_context_length_kv_growth/Slide.svelte'),
    notes: notes08,
  },
  {
    id: '09_cached_prefix',
    headline: 'A cached prefix skips the on-ramp',
    chapter: 'II',
    tags: ['ttft', 'compute'],
    load: () => import('./09_cached_prefix/Slide.svelte'),
    notes: notes09,
  },
  {
    id: '10_batch_size_tradeoff',
    headline: 'Bigger batches sell your latency for throughput',
    chapter: 'III',
    tags: ['tpot', 'ttft', 'memory', 'queue'],
    load: () => import('./10_batch_size_tradeoff/Slide.svelte'),
    notes: notes10,
  },
  {
    id: '11_highway_congestion',
    headline: 'The last tenth of load costs most waiting',
    chapter: 'III',
    tags: ['p99', 'ttft', 'queue'],
    load: () => import('./11_highway_congestion/Slide.svelte'),
    notes: notes11,
  },
  {
    id: '12_global_routing_vs_queue',
    headline: 'Drive farther or wait here?',
    chapter: 'III',
    tags: ['ttft', 'p99', 'network', 'queue'],
    load: () => import('./12_global_routing_vs_queue/Slide.svelte'),
    notes: notes12,
  },
  {
    id: '13_long_requests_cost',
    headline: 'One truck blocks a lane',
    chapter: 'III',
    tags: ['p99', 'ttft', 'queue', 'memory'],
    load: () => import('./13_long_requests_cost/Slide.svelte'),
    notes: notes13,
  },
  {
    id: '14_speedups',
    headline: 'Know the bottleneck, then pull the lever',
    chapter: 'IV',
    tags: ['ttft', 'tpot', 'p99', 'compute', 'memory', 'queue', 'network'],
    load: () => import('./14_speedups/Slide.svelte'),
    notes: notes14,
  },
  {
    id: '15_smaller_models',
    headline: 'A smaller model that passes wins everywhere',
    chapter: 'IV',
    tags: ['ttft', 'tpot', 'compute', 'memory'],
    load: () => import('./15_smaller_models/Slide.svelte'),
    notes: notes15,
  },
  {
    id: '16_moe_sparsity',
    headline: 'Pay for two experts, own eight',
    chapter: 'IV',
    tags: ['tpot', 'memory'],
    load: () => import('./16_moe_sparsity/Slide.svelte'),
    notes: notes16,
  },
  {
    id: '17_proxy_models',
    headline: 'Draft cheap, verify once',
    chapter: 'IV',
    tags: ['tpot', 'memory', 'compute'],
    load: () => import('./17_proxy_models/Slide.svelte'),
    notes: notes17,
  },
  {
    id: '18_quantization',
    headline: 'Fewer bits, fewer bytes, some risk',
    chapter: 'IV',
    tags: ['tpot', 'memory'],
    load: () => import('./18_quantization/Slide.svelte'),
    notes: notes18,
  },
  {
    id: '19_kv_cache',
    headline: 'Memory you manage is latency you keep',
    chapter: 'IV',
    tags: ['tpot', 'p99', 'memory', 'queue'],
    load: () => import('./19_kv_cache/Slide.svelte'),
    notes: notes19,
  },
  {
    id: '20_add_capacity',
    headline: 'Replicas buy back the tail',
    chapter: 'IV',
    tags: ['p99', 'ttft', 'queue'],
    load: () => import('./20_add_capacity/Slide.svelte'),
    notes: notes20,
  },
  {
    id: '21_new_hardware',
    headline: 'Bandwidth for decode, FLOPs for prefill',
    chapter: 'IV',
    tags: ['ttft', 'tpot', 'compute', 'memory'],
    load: () => import('./21_new_hardware/Slide.svelte'),
    notes: notes21,
  },
  {
    id: '22_playbook',
    headline: 'From symptom to bottleneck to lever',
    chapter: 'IV',
    tags: ['ttft', 'tpot', 'p99', 'compute', 'memory', 'queue', 'network'],
    load: () => import('./22_playbook/Slide.svelte'),
    notes: notes22,
  },
]
