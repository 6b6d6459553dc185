import { choice, define, integer, power2, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import { follow } from '$components/frame/follow'
import type { Trace } from '$engine/trace/trace'
import { machineCache, withInt8Cache } from '$engine/worker/lens'
import type { Machine, ScenarioJson, Simulated, Workload } from '$engine/worker/protocol'

export const params = define({
  policy: choice({ options: ['contiguous', 'paged', 'offload', 'int8'], default: 'paged', label: 'Policy', tone: 'decode', hint: 'In one piece for the longest answer; in blocks as they are reached; most layers to the host; half or a quarter of the bits.' }),
  block: power2({ from: 1, to: 64, default: 16, label: 'Block', unit: 'tok', tone: 'decode', hint: 'Positions of a KV block. The live engine’s have 16.' }),
  memory: integer({ from: 10, to: 100, step: 5, default: 60, label: 'Memory', unit: '%', tone: 'queue', hint: 'Of room for 512 positions for each of 16 places.' }),
})

/** One run compares all policies. */
export const redrawn = ['policy'] as const

export type Policy = Values<typeof params>['policy']
export const POLICIES = params.policy.options.map((o) => o.value) as Policy[]
export const MEMORIES = [10, 15, 20, 30, 40, 50, 60, 80, 100]
/** What the live engine does; the others are the simulator's. */
export const LIVE_BLOCK = 16

const MODEL = 'tales-5m'
export const PLACES = 16
/** Positions that 100 % has room for. */
export const FULL = PLACES * 512
/** Each asks again when he has his answer. */
export const USERS = 12
const LONGEST_PROMPT = 512
const LONGEST_ANSWER = 256
/** bytes/s between device and host: a PCIe slot of the fourth generation. Stated, not measured. */
export const LINK = 25e9
/** Of so many layers one stays on the device while a request is offloaded. */
const KEEP_ONE_OF = 8
const COMPARED = 4000
/** All at once, on the map: twice the places, so that the default memory is short of some blocks. */
export const BURST = 32

export type ByPolicy<T> = Record<Policy, T>

export interface CacheReading extends Reading {
  /** As set. */
  set: ByPolicy<Simulated>
  /** Ascending in memory, %. */
  curve: { memory: number; by: ByPolicy<Simulated> }[]
  /** A burst under each policy, with every block that is taken. */
  bursts: ByPolicy<Trace>
  /** Positions in the same memory with keys and values in int8, against those as they are. */
  times: number
  /** The step costs of int8 were measured, or modelled, apart: else they are the others'. */
  apart: boolean
  /** The burst of the paged policies on this device, growing while it is served; where its engine can. */
  live: Partial<Record<'paged' | 'int8', Trace>>
}

/** Whether this device's engine keeps its cache like that. */
export function canServe(policy: Policy, { block }: { block: number }, { lens = 'here', profile }: Pick<Context, 'lens' | 'profile'>): policy is 'paged' | 'int8' {
  return lens === 'here' && block === LIVE_BLOCK && (policy === 'paged' || (policy === 'int8' && profile.device.runner !== 'reference'))
}

/**
 * The same users on the same memory, kept in four ways: p99, preemptions and waste, simulated with the live engine's
 * scheduler; a burst block by block, and live as far as the engine of this device keeps its cache like that.
 */
export async function* run(p: Values<typeof params>, context: Context): AsyncGenerator<CacheReading> {
  const { engine, signal, seed, profile, lens = 'here' } = context
  const machine = await engine.machine(MODEL, { signal })
  // Plain TypeScript holds keys and values in f32 only.
  const apart = lens !== 'here' || profile.device.runner !== 'reference'
  const int8 = apart ? await engine.machine({ model: MODEL, kv: 'int8' }, { signal }) : withInt8Cache(machine)
  const times = machineCache(machine).bytesPerToken / machineCache(int8).bytesPerToken
  const on = (policy: Policy) => (policy === 'int8' ? int8 : machine)
  const blocks = (policy: Policy, memory: number) => Math.floor((FULL * (memory / 100) * (policy === 'int8' ? times : 1)) / p.block)
  const simulate = (policy: Policy, memory: number, more: ScenarioJson, traceEvery?: number) => engine.simulate({
    machine: on(policy), traceEvery, scenario: { seed, ...requests(), ...more, scheduler: kept(policy, blocks(policy, memory), p.block, machine) },
  }, { signal })
  const compare = (memory: number) => each((policy) => simulate(policy, memory, { requests: COMPARED, warmup: COMPARED / 5, arrivals: { process: 'closed', concurrency: USERS } }))

  const set = await compare(p.memory)
  const bursts = await each(async (policy) => (await simulate(policy, p.memory, { requests: BURST, arrivals: { process: 'closed', concurrency: BURST } }, 1)).trace!)
  const reading: Omit<CacheReading, 'complete'> = { trace: bursts.paged, set, bursts, curve: [], times, apart, live: {} }
  yield { ...reading, complete: false }
  for (const memory of [...new Set([...MEMORIES, p.memory])].sort((a, b) => a - b)) reading.curve = [...reading.curve, { memory, by: memory === p.memory ? set : await compare(memory) }]
  const todo = POLICIES.filter((policy): policy is 'paged' | 'int8' => canServe(policy, p, { lens, profile }))
  yield { ...reading, complete: todo.length === 0 }
  for (const [i, policy] of todo.entries()) {
    const workload: Workload = { ...same(bursts.paged), kvBlocks: blocks(policy, p.memory), ...(policy === 'int8' ? { kv: 'int8' } : {}) }
    for await (const { trace, complete } of follow(engine, workload, signal)) {
      reading.live = { ...reading.live, [policy]: trace }
      yield { ...reading, complete: complete && i === todo.length - 1 }
    }
  }
}

async function each<T>(of: (policy: Policy) => Promise<T>): Promise<ByPolicy<T>> {
  const out: Partial<ByPolicy<T>> = {}
  for (const policy of POLICIES) out[policy] = await of(policy)
  return out as ByPolicy<T>
}

/** Questions and answers of very unlike lengths: nobody knows beforehand how long one will be. */
function requests(): ScenarioJson {
  return {
    input: { dist: 'lognormal', mean: 256, cv: 0.6, min: 16, max: LONGEST_PROMPT },
    output: { dist: 'lognormal', mean: 128, cv: 1, min: 2, max: LONGEST_ANSWER },
  }
}

function kept(policy: Policy, blocks: number, block: number, machine: Machine): ScenarioJson['scheduler'] {
  const { bytesPerToken, layers } = machineCache(machine)
  return {
    max_sequences: PLACES, block_size: block, kv_blocks: blocks, prefix_cache: false, preemption: 'recompute',
    kv_allocation: policy === 'contiguous' ? 'contiguous' : 'paged',
    kv_offload: policy === 'offload' ? { layers, keep_layers: Math.max(1, Math.floor(layers / KEEP_ONE_OF)), ms_per_block: (1000 * block * bytesPerToken) / LINK, host_blocks: null } : null,
  }
}

/** The requests of a simulated burst, for the live engine: as long as they became. */
function same(burst: Trace): Workload {
  const outputs = new Map<number, number>()
  for (const e of burst.events) if (e.kind === 'token') outputs.set(e.request, (outputs.get(e.request) ?? 0) + 1)
  return { model: MODEL, maxSequences: PLACES, requests: burst.requests.map((r) => ({ prompt: r.promptTokens, maxTokens: outputs.get(r.id)!, ignoreEos: true })) }
}
