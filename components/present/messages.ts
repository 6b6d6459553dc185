import type { EngineInfo } from '$engine/worker/protocol'
import { LAST_COUNT, type Entry, type Json } from './shared'

/** Windows of one talk speak this; a window of another version is not heard. */
export const VERSION = 1

/** What a slide's experiment came to in the window that runs it. */
export interface Told {
  slide: string
  /** Through the slide's own lens, or the other one's second, smaller figure. */
  part: 'main' | 'other'
  phase: 'idle' | 'settling' | 'running' | 'done' | 'failed'
  /** Counts the runs, so that a replay begins with each. */
  runs: number
  /** The values that were run, as JSON text; of the second figure only. */
  values: string
  /** What was read, as the experiment gave it. */
  reading?: { trace: unknown; complete: boolean }
  /** phase 'failed': a sentence. */
  problem?: string
}

export type Message =
  /** I am here: tell me all. */
  | { v: typeof VERSION; kind: 'hello'; from: string; role: Role }
  /** I am still here. */
  | { v: typeof VERSION; kind: 'alive'; from: string; role: Role }
  | { v: typeof VERSION; kind: 'bye'; from: string }
  | { v: typeof VERSION; kind: 'set'; from: string; entries: readonly (readonly [key: string, entry: Entry])[] }
  | { v: typeof VERSION; kind: 'told'; from: string; told: Told }
  | { v: typeof VERSION; kind: 'engine'; from: string; info: EngineInfo }
  /** Run this slide's experiment again. */
  | { v: typeof VERSION; kind: 'again'; from: string; slide: string }

/** The stage has the engine and is what the room sees; the speaker's window has the notes. */
export type Role = 'stage' | 'speaker'

/** Characters in a text at most. */
const LONGEST = 400
const MOST_ENTRIES = 2000

/**
 * The message, when it has the shape of one; undefined for anything else. Any page of this address can
 * speak on the channel, an older copy of this one too: nothing that is heard is taken for granted.
 */
export function readMessage(data: unknown): Message | undefined {
  if (!isRecord(data) || data['v'] !== VERSION || !isName(data['from'])) return undefined
  const m = data as Record<string, unknown>
  const fine = {
    hello: () => isRole(m['role']),
    alive: () => isRole(m['role']),
    bye: () => true,
    set: () => Array.isArray(m['entries']) && m['entries'].length <= MOST_ENTRIES && m['entries'].every(isEntry),
    told: () => isTold(m['told']),
    engine: () => isInfo(m['info']),
    again: () => isName(m['slide']),
  }
  const kind = m['kind']
  return typeof kind === 'string' && Object.hasOwn(fine, kind) && fine[kind as keyof typeof fine]() ? (data as unknown as Message) : undefined
}

function isEntry(entry: unknown): boolean {
  if (!Array.isArray(entry) || entry.length !== 2) return false
  const [key, e] = entry as [unknown, unknown]
  if (typeof key !== 'string' || !isRecord(e) || !Array.isArray(e['stamp']) || e['stamp'].length !== 2) return false
  const [count, writer] = e['stamp'] as [unknown, unknown]
  return Number.isSafeInteger(count) && (count as number) > 0 && (count as number) <= LAST_COUNT && isName(writer) && isShared(key, e['value'])
}

/** The keys that windows share, and what may stand under each. */
const KEYS: [RegExp, (value: unknown) => boolean][] = [
  [/^slide$/, isName],
  [/^lens$/, (v) => v === 'here' || v === 'elsewhere'],
  [/^(talk|black|frozen)$/, (v) => typeof v === 'boolean'],
  [/^value:\w+:\w+$/, isText],
  [/^played:\w+$/, (v) => isRecord(v) && Number.isSafeInteger(v['at']) && (v['at'] as number) >= 0 && isRecord(v['base']) && Object.entries(v['base']).every(([k, t]) => isName(k) && isText(t))],
  [/^playhead:\w+:\d$/, (v) => isRecord(v) && isAmount(v['at']) && typeof v['playing'] === 'boolean' && isAmount(v['slowdown']) && (v['slowdown'] as number) > 0 && Number.isFinite(v['run'])],
  [/^timer$/, (v) => isRecord(v) && isAmount(v['before']) && (v['since'] === null || isAmount(v['since']))],
  [/^minutes$/, (v) => isAmount(v) && (v as number) >= 1 && (v as number) <= 600],
]

/** Whether this value may stand under this key. */
export function isShared(key: string, value: unknown): value is Json {
  const rule = key.length <= 100 && KEYS.find(([pattern]) => pattern.test(key))
  return !!rule && rule[1](value)
}

function isTold(t: unknown): boolean {
  return isRecord(t) && isName(t['slide']) && (t['part'] === 'main' || t['part'] === 'other')
    && ['idle', 'settling', 'running', 'done', 'failed'].includes(t['phase'] as string)
    && Number.isSafeInteger(t['runs']) && (t['runs'] as number) >= 0
    && typeof t['values'] === 'string' && t['values'].length <= 10 * LONGEST
    && (t['problem'] === undefined || (typeof t['problem'] === 'string' && t['problem'].length <= 10 * LONGEST))
    && (t['reading'] === undefined || isReading(t['reading']))
}

/** Every reading has a Trace; what else it has is its slide's own. */
function isReading(r: unknown): boolean {
  if (!isRecord(r) || typeof r['complete'] !== 'boolean') return false
  const trace = r['trace']
  return isRecord(trace) && isRecord(trace['provenance']) && typeof trace['provenance']['how'] === 'string'
    && ['requests', 'events', 'steps'].every((list) => Array.isArray(trace[list]))
}

function isInfo(info: unknown): boolean {
  if (!isRecord(info) || !isRecord(info['device']) || !isRecord(info['calibration'])) return false
  return typeof info['device']['name'] === 'string' && Array.isArray(info['calibration']['runners'])
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isRole(value: unknown): value is Role {
  return value === 'stage' || value === 'speaker'
}

/** Ids of slides, windows and parameters. */
function isName(value: unknown): value is string {
  return typeof value === 'string' && /^[a-z0-9_-]{1,80}$/.test(value)
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= LONGEST
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}
