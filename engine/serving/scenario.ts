import type { Speculation } from '../cost/speculation'
import schema from './scenario.schema.json'
import type { ArrivalSpec } from './arrivals'
import type { LengthSpec } from './lengths'
import type { RouterName } from './router'

/** A scenario with all defaults filled in; every key is described in scenario.schema.json. */
export interface Scenario {
  version: 1
  seed: number
  requests: number
  warmup: number
  arrivals: ArrivalSpec & { file: string | null; scale: number; concurrency: number; think_ms: number }
  input: LengthSpec
  output: LengthSpec
  max_tokens: number | null
  prefixes: { groups: number; tokens: number; share: number } | null
  long_requests: { share: number; tokens: number } | null
  priorities: { share: number; priority: number }[]
  service: { kind: 'exponential' | 'deterministic' | 'hyperexponential'; mean_ms: number; cv: number; discipline: 'fcfs' | 'processor-sharing' } | null
  steps: StepsSpec | null
  scheduler: {
    policy: 'continuous' | 'static' | 'prefill-first' | 'fcfs-one-at-a-time'
    max_sequences: number
    max_batched_tokens: number
    chunked_prefill: boolean
    kv_blocks: number | null
    block_size: number
    kv_allocation: 'paged' | 'reserved' | 'contiguous'
    prefix_cache: boolean
    prefix_ttl_ms: number | null
    preemption: 'recompute' | 'swap'
    swap_ms_per_block: number
    max_queue: number | null
    long_request_pool: { threshold_tokens: number; replicas: number } | null
    kv_offload: { layers: number; keep_layers: number; ms_per_block: number; host_blocks: number | null } | null
  }
  replicas: number
  router: RouterName
  router_staleness_ms: number
  regions: { name: string; rtt_ms: number; replicas: number; load: number; profile: number[]; rtt_to_ms: number[] }[]
  disaggregation: { prefill_replicas: number; transfer_ms_per_token: number } | null
  autoscaler: { min: number; interval_ms: number; up_above: number; down_below: number; startup_ms: number } | null
  response_cache: { hit_rate: number; false_positive_rate: number; latency_ms: number; exact_hit_rate: number; exact_latency_ms: number } | null
  cascade: { mode: 'after-answer' | 'up-front'; escalation_rate: number; decide_ms: number; replicas: number; kv_blocks: number | null; steps: StepsSpec } | null
  batch_lane: { share: number; max_running: number | null; deadline_ms: number | null } | null
  timeline_ms: number | null
  slo: { ttft_ms: number | null; tpot_ms: number | null } | null
  /** Keys of input and output that the writer gave: a trace's own lengths hold unless they did. */
  given: { input: boolean; output: boolean }
}

export interface StepsSpec {
  kind: 'affine' | 'roofline' | 'profile'
  base_ms: number
  per_sequence_ms: number
  per_context_token_ms: number
  per_prefill_token_ms: number
  per_prefill_token_context_ms: number
  hardware: string
  model: string
  tensor_parallel: number
  dtype: 'f32' | 'bf16' | 'f16' | 'fp8' | 'int8' | 'int4'
  kv_dtype: 'bf16' | 'f16' | 'fp8' | 'int8' | null
  /** null: the device's own share, as the catalogue has it. */
  mfu: number | null
  mbu: number | null
  overhead_ms: number
  bandwidth: number
  flops: number
  file: string | null
  speculation: Speculation | null
}

/** Of requests in the batch lane: behind everybody. */
export const BATCH_PRIORITY = 2 ** 31 - 1

type Partially<T> = T extends readonly (infer E)[] ? readonly Partially<E>[] : T extends object ? { [K in keyof T]?: Partially<T[K]> } : T

/** A scenario as it is written: keys left out take their defaults. */
export type ScenarioJson = Partially<Omit<Scenario, 'given'>>

/** A scenario that cannot be understood; the message begins with the path of the key. */
export class ScenarioError extends Error {
  override name = 'ScenarioError'
}

/** The part of JSON Schema that the scenario's schema uses. */
interface Schema {
  /** Path of another part of the schema whose properties are meant. */
  $ref?: string
  type: string | string[]
  description?: string
  enum?: unknown[]
  default?: unknown
  minimum?: number
  exclusiveMinimum?: number
  maximum?: number
  properties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  'x-unit'?: string
}

/** Checks a scenario against its schema and fills in the defaults. Throws ScenarioError naming the key. */
export function parseScenario(json: unknown): Scenario {
  const filled = fill(json, schema as Schema, '') as Scenario
  const raw = json as Record<string, unknown>
  filled.given = { input: raw['input'] != null, output: raw['output'] != null }
  check(filled)
  return filled
}

/** One line per key: path, default, unit, description. */
export function scenarioHelp(): string {
  const lines: string[] = []
  const walk = (s: Schema, path: string) => {
    for (const [key, child] of Object.entries(s.properties ?? {})) {
      const name = path ? `${path}.${key}` : key
      const facts = [
        child.enum ? child.enum.join(' | ') : [child.type].flat().join(' or '),
        child.default === undefined ? 'required' : child.properties ? '' : `default ${JSON.stringify(child.default)}`,
        child['x-unit'] ?? '',
      ].filter(Boolean).join(', ')
      lines.push(`  ${name}: ${facts}`, `      ${child.description ?? ''}`)
      if (child.$ref) continue
      walk(child, name)
      if (child.items?.properties) walk(child.items, `${name}[]`)
    }
  }
  walk(schema as Schema, '')
  return lines.join('\n')
}

function fill(value: unknown, s: Schema, path: string): unknown {
  const at = path || 'the scenario'
  const types = [s.type].flat()
  if (value === null && types.includes('null')) return null
  if (!types.some((t) => isType(value, t))) throw new ScenarioError(`${at} must be ${types.map(article).join(' or ')}, got ${show(value)}`)
  if (s.enum && !s.enum.includes(value)) throw new ScenarioError(`${at} must be ${s.enum.length > 1 ? 'one of ' : ''}${s.enum.map(show).join(', ')}, got ${show(value)}`)
  if (typeof value === 'number') range(value, s, at)
  if (Array.isArray(value)) return value.map((item, i) => fill(item, s.items!, `${path}[${i}]`))
  if (typeof value === 'object') return fillObject(value as Record<string, unknown>, s, path)
  return value
}

function fillObject(value: Record<string, unknown>, s: Schema, path: string): Record<string, unknown> {
  const properties = propertiesOf(s)!
  const name = (key: string) => (path ? `${path}.${key}` : key)
  for (const key of Object.keys(value)) {
    if (!Object.hasOwn(properties, key)) throw new ScenarioError(`${name(key)} is not a key of a scenario; ${path || 'it'} has ${Object.keys(properties).join(', ')}`)
  }
  const out: Record<string, unknown> = {}
  for (const [key, child] of Object.entries(properties)) {
    const given = Object.hasOwn(value, key) ? value[key] : undefined
    if (given === undefined && child.default === undefined) throw new ScenarioError(`${name(key)} is missing`)
    out[key] = fill(given === undefined ? structuredClone(child.default) : given, child, name(key))
  }
  return out
}

function propertiesOf(s: Schema): Record<string, Schema> | undefined {
  if (s.$ref === undefined) return s.properties
  return propertiesOf(s.$ref.slice(2).split('/').reduce((node, key) => (node as Record<string, unknown>)[key], schema as unknown) as Schema)
}

function isType(value: unknown, type: string): boolean {
  switch (type) {
    case 'null': return value === null
    case 'integer': return Number.isSafeInteger(value)
    case 'number': return typeof value === 'number' && Number.isFinite(value)
    case 'array': return Array.isArray(value)
    case 'object': return typeof value === 'object' && value !== null && !Array.isArray(value)
    default: return typeof value === type
  }
}

function range(value: number, s: Schema, at: string): void {
  if (s.minimum !== undefined && value < s.minimum) throw new ScenarioError(`${at} must be at least ${s.minimum}, got ${value}`)
  if (s.exclusiveMinimum !== undefined && value <= s.exclusiveMinimum) throw new ScenarioError(`${at} must be more than ${s.exclusiveMinimum}, got ${value}`)
  if (s.maximum !== undefined && value > s.maximum) throw new ScenarioError(`${at} must be at most ${s.maximum}, got ${value}`)
}

/** What no single key can say. */
function check(s: Scenario): void {
  if ((s.service === null) === (s.steps === null)) throw new ScenarioError('give either service or steps')
  if (s.arrivals.process === 'trace' && s.arrivals.file === null) throw new ScenarioError('arrivals.file is missing: a trace needs one')
  if (s.arrivals.process === 'mmpp' && !s.arrivals.rates.some((r) => r > 0)) throw new ScenarioError('arrivals.rates must hold a rate above 0')
  if (s.arrivals.profile.length > 0 && !s.arrivals.profile.some((f) => f > 0)) throw new ScenarioError('arrivals.profile must hold a factor above 0')
  if (s.steps?.kind === 'profile' && s.steps.file === null) throw new ScenarioError('steps.file is missing: a profile needs one')
  for (const key of ['input', 'output'] as const) if (s[key].min > s[key].max) throw new ScenarioError(`${key}.min is above ${key}.max`)
  if (s.priorities.length > 0 && !s.priorities.some((c) => c.share > 0)) throw new ScenarioError('priorities must hold a share above 0')
  const replicas = replicaCount(s)
  const split = (key: string, n: number) => {
    if (n >= replicas) throw new ScenarioError(`${key} must be less than the ${replicas} replicas there are, got ${n}`)
    if (s.router === 'central-queue') throw new ScenarioError(`router must be another than central-queue where ${key.split('.')[0]} parts the replicas`)
    if (s.service) throw new ScenarioError(`${key} needs steps, not service`)
  }
  if (s.scheduler.long_request_pool) split('scheduler.long_request_pool.replicas', s.scheduler.long_request_pool.replicas)
  if (s.disaggregation) split('disaggregation.prefill_replicas', s.disaggregation.prefill_replicas)
  if (s.disaggregation && s.scheduler.long_request_pool) throw new ScenarioError('disaggregation and scheduler.long_request_pool cannot be had together')
  if (s.autoscaler && s.autoscaler.min > replicas) throw new ScenarioError(`autoscaler.min is above the ${replicas} replicas there are`)
  if (s.autoscaler && (s.router === 'central-queue' || s.disaggregation || s.scheduler.long_request_pool)) throw new ScenarioError('autoscaler needs a router other than central-queue, and replicas that are all alike')
  checkRegions(s)
  checkMemory(s)
  if (s.cascade) {
    if (s.service) throw new ScenarioError('cascade needs steps, not service')
    for (const key of ['autoscaler', 'disaggregation'] as const) if (s[key]) throw new ScenarioError(`cascade and ${key} cannot be had together`)
    if (s.scheduler.long_request_pool) throw new ScenarioError('cascade and scheduler.long_request_pool cannot be had together')
    if (s.cascade.steps.kind === 'profile') throw new ScenarioError('cascade.steps.kind must be affine or roofline')
  }
  if (s.batch_lane && s.service) throw new ScenarioError('batch_lane needs steps, not service')
  if (s.batch_lane && s.scheduler.policy === 'static') throw new ScenarioError('batch_lane cannot be had with policy static')
  if (s.scheduler.prefix_cache && s.scheduler.policy === 'static') throw new ScenarioError('scheduler.prefix_cache cannot be had with policy static')
  if (s.scheduler.prefix_cache && s.scheduler.kv_allocation !== 'paged') throw new ScenarioError('scheduler.prefix_cache needs kv_allocation paged')
}

function checkRegions({ regions }: Scenario): void {
  for (const [i, r] of regions.entries()) {
    if (r.rtt_to_ms.length > 0 && r.rtt_to_ms.length !== regions.length) throw new ScenarioError(`regions[${i}].rtt_to_ms must hold a round trip to each of the ${regions.length} regions, got ${r.rtt_to_ms.length}`)
    if (r.profile.length > 0 && !r.profile.some((f) => f > 0)) throw new ScenarioError(`regions[${i}].profile must hold a factor above 0`)
  }
}

function checkMemory({ scheduler: c }: Scenario): void {
  if (c.kv_allocation === 'contiguous' && c.kv_blocks === null) throw new ScenarioError('scheduler.kv_blocks is missing: kv_allocation contiguous needs a size')
  if (!c.kv_offload) return
  if (c.kv_blocks === null) throw new ScenarioError('scheduler.kv_blocks is missing: kv_offload needs a size')
  if (c.policy !== 'continuous') throw new ScenarioError('scheduler.kv_offload needs policy continuous')
  if (c.kv_allocation !== 'paged') throw new ScenarioError('scheduler.kv_offload needs kv_allocation paged')
  if (c.prefix_cache) throw new ScenarioError('scheduler.kv_offload and scheduler.prefix_cache cannot be had together')
  if (c.kv_offload.keep_layers >= c.kv_offload.layers) throw new ScenarioError(`scheduler.kv_offload.keep_layers must be less than the ${c.kv_offload.layers} layers`)
}

export function replicaCount(s: Scenario): number {
  return s.regions.length > 0 ? s.regions.reduce((n, r) => n + r.replicas, 0) : s.replicas
}

function article(type: string): string {
  return type === 'null' ? 'null' : type === 'integer' ? 'a whole number' : /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`
}

function show(value: unknown): string {
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value))
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
