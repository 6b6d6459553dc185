import type { Event, EventKind, RequestRecord, Roofs, Step, Trace } from './trace'
import type { Provenance } from './provenance'

/** A Trace file that is none; the message names the part and its fault. */
export class TraceError extends Error {
  override name = 'TraceError'
}

const KINDS: readonly EventKind[] = ['sent', 'gateway', 'queued', 'scheduled', 'prefill', 'token', 'draft', 'verify', 'preempted', 'cached', 'offloaded', 'finished', 'rejected', 'failed']
/** No run is as long, no step computes as much: what is larger is damage, and sums of it are no numbers. */
const MOST = 1e24
const KNOWN: ReadonlySet<unknown> = new Set(KINDS)

/** Whether parsed JSON means to be a Trace: it has the three lists that every Trace has. */
export function looksLikeTrace(json: unknown): json is Record<'requests' | 'events' | 'steps', unknown[]> {
  return record(json) && (['requests', 'events', 'steps'] as const).every((key) => Array.isArray(json[key]))
}

/**
 * A Trace from parsed JSON, checked as far as metrics and attribution read it: events in order of time, ids that
 * are of a request, numbers that are numbers. Throws TraceError naming what is wrong.
 */
export function parseTrace(json: unknown, name = 'trace'): Trace {
  if (!looksLikeTrace(json)) throw new TraceError(`${name}: a Trace has the lists requests, events and steps`)
  const fail = (at: string, fault: string): never => {
    throw new TraceError(`${name}: ${at} ${fault}`)
  }
  const number = (value: unknown, at: string, least = -Infinity): number => {
    if (typeof value !== 'number' || !(Math.abs(value) <= MOST) || value < least) fail(at, `is ${show(value)}, not a number${least > -Infinity ? ` of at least ${least}` : ''}`)
    return value as number
  }
  const whole = (value: unknown, at: string): number => (Number.isSafeInteger(number(value, at, 0)) ? (value as number) : fail(at, `is ${show(value)}, not a whole number`))
  const object = (value: unknown, at: string): Record<string, unknown> => (record(value) ? value : fail(at, `is ${show(value)}, not an object`))
  const list = (value: unknown, at: string): unknown[] => (Array.isArray(value) ? (value as unknown[]) : fail(at, `is ${show(value)}, not a list`))

  const text = (value: unknown, at: string) => (typeof value === 'string' ? value : fail(at, `is ${show(value)}, not a text`))
  const checkProvenance = (value: unknown, at: string, depth = 0): void => {
    const p = object(value, at)
    if (depth > 3) fail(at, 'is simulated from costs that are simulated, and so on')
    switch (p['how']) {
      case 'measured':
      case 'recorded': {
        const device = object(p['device'], `${at}.device`)
        for (const key of ['name', 'runner', 'model']) text(device[key], `${at}.device.${key}`)
        return void text(p['at'], `${at}.at`)
      }
      case 'simulated':
        number(p['seed'], `${at}.seed`)
        return checkProvenance(p['costs'], `${at}.costs`, depth + 1)
      case 'modelled':
        for (const key of ['hardware', 'model']) text(p[key], `${at}.${key}`)
        return
      case 'published':
        for (const key of ['source', 'conditions']) text(p[key], `${at}.${key}`)
        return
      default:
        fail(`${at}.how`, `is ${show(p['how'])}, none of measured, simulated, modelled, recorded, published`)
    }
  }
  const ids = new Set<number>()
  for (const [i, value] of json.requests.entries()) {
    const r = object(value, `requests[${i}]`)
    const id = whole(r['id'], `requests[${i}].id`)
    if (ids.has(id)) fail(`requests[${i}].id`, `is ${id}, as an earlier request's`)
    ids.add(id)
    number(r['arrival'], `requests[${i}].arrival`)
    for (const key of ['promptTokens', 'maxTokens']) whole(r[key], `requests[${i}].${key}`)
    if (r['network'] === undefined) continue
    const network = object(r['network'], `requests[${i}].network`)
    for (const key of ['out', 'back']) number(network[key], `requests[${i}].network.${key}`, 0)
  }
  if (ids.size === 0) fail('requests', 'is empty: nobody asked for anything')

  let before = -Infinity
  let sorted = true
  for (const [i, value] of json.events.entries()) {
    const e = object(value, `events[${i}]`)
    const t = number(e['t'], `events[${i}].t`)
    sorted &&= t >= before
    before = t
    if (!KNOWN.has(e['kind'])) fail(`events[${i}].kind`, `is ${show(e['kind'])}, none of ${KINDS.join(', ')}`)
    if (!ids.has(e['request'] as number)) fail(`events[${i}].request`, `is ${show(e['request'])}, which no request has as its id`)
    if (e['replica'] !== undefined) whole(e['replica'], `events[${i}].replica`)
  }

  for (const [i, value] of json.steps.entries()) {
    const s = object(value, `steps[${i}]`)
    number(s['start'], `steps[${i}].start`)
    for (const key of ['duration', 'flops', 'bytes', 'workingSet', 'kvBlocks']) number(s[key], `steps[${i}].${key}`, 0)
    if (s['replica'] !== undefined) whole(s['replica'], `steps[${i}].replica`)
    for (const [k, share] of list(s['batch'], `steps[${i}].batch`).entries()) {
      const at = `steps[${i}].batch[${k}]`
      const b = object(share, at)
      for (const key of ['request', 'tokens', 'context']) whole(b[key], `${at}.${key}`)
      for (const key of ['soloFlops', 'soloBytes']) number(b[key], `${at}.${key}`, 0)
    }
  }

  const { provenance, roofs, resolution, kvBlocksTotal, blockSize, held } = json as Record<string, unknown>
  checkProvenance(provenance, 'provenance')
  if (roofs !== undefined) {
    const r = object(roofs, 'roofs')
    if (number(r['flopsPerSecond'], 'roofs.flopsPerSecond') <= 0) fail('roofs.flopsPerSecond', 'is not above 0')
    const read = list(r['read'], 'roofs.read')
    if (read.length === 0) fail('roofs.read', 'is empty')
    for (const [i, value] of read.entries()) {
      const point = object(value, `roofs.read[${i}]`)
      for (const key of ['bytes', 'bytesPerSecond']) if (number(point[key], `roofs.read[${i}].${key}`) <= 0) fail(`roofs.read[${i}].${key}`, 'is not above 0')
    }
  }
  if (kvBlocksTotal !== undefined && whole(kvBlocksTotal, 'kvBlocksTotal') < 1) fail('kvBlocksTotal', `is ${show(kvBlocksTotal)}: nothing fits there`)
  if (held !== undefined) for (const key of ['weightBytes', 'kvBytesPerToken', 'parameters']) number(object(held, 'held')[key], `held.${key}`, 0)
  const events = json.events as Event[]
  const steps = json.steps as Step[]
  return {
    provenance: provenance as Provenance,
    requests: json.requests as RequestRecord[],
    events: sorted ? events : events.slice().sort((a, b) => a.t - b.t),
    steps: steps.every((s, i) => i === 0 || s.start >= steps[i - 1]!.start) ? steps : steps.slice().sort((a, b) => a.start - b.start),
    ...(roofs === undefined ? {} : { roofs: roofs as Roofs }),
    ...(typeof resolution === 'number' ? { resolution } : {}),
    ...(kvBlocksTotal === undefined ? {} : { kvBlocksTotal: kvBlocksTotal as number }),
    ...(typeof blockSize === 'number' ? { blockSize } : {}),
    ...(held === undefined ? {} : { held: held as NonNullable<Trace['held']> }),
  }
}

function record(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 40 ? `${text.slice(0, 40)}…` : text
}
