import { parse, stringify } from 'devalue'
import type { EngineInfo } from '$engine/worker/protocol'
import { reducers, revivers, rounded } from './tables'

/**
 * What an experiment read on some machine, kept: the last reading of a run at the slide's own settings, with
 * every 'measured' in it turned into 'recorded'. `npm run record` makes one a slide, assets/recorded/ID.bin: gzip
 * over devalue's JSON (a Trace that stands in several places is written once) of tables by column (`tables.ts`).
 */
export interface Recording {
  version: 1
  slide: string
  /** The settings it was read at, all of them. */
  values: Record<string, number | string | boolean>
  /** ISO 8601. */
  at: string
  /** Of the engine that it was read on; absent where the slide ran nothing live. */
  info: EngineInfo
  reading: unknown
}

/** As a file's bytes. */
export async function packRecording(recording: Recording): Promise<Uint8Array<ArrayBuffer>> {
  const shared = new Set<unknown>()
  const text = stringify(kept(recording, new Map(), shared), reducers(shared))
  return bytesOf(new Blob([text]).stream().pipeThrough(new CompressionStream('gzip')))
}

/** Throws where the bytes are no recording, in words. */
export async function readRecording(bytes: Uint8Array<ArrayBuffer>): Promise<Recording> {
  // A server that compresses what it sends may have it unpacked on the way.
  const packed = bytes[0] === 0x1f && bytes[1] === 0x8b
  const plain = packed ? await bytesOf(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))) : bytes
  const recording = parse(new TextDecoder().decode(plain), revivers as Parameters<typeof parse>[1]) as Partial<Recording> | null
  if (recording?.version !== 1 || typeof recording.slide !== 'string' || typeof recording.values !== 'object') throw new Error('it is no recording of version 1')
  return recording as Recording
}

/** A reading as a recording has it: known to be recorded, in rounded numbers. */
export function asRecorded<T>(reading: T): T {
  return kept(reading, new Map(), new Set()) as T
}

/** The same settings, whatever order they stand in. */
export function sameValues(a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>): boolean {
  const names = Object.keys(a)
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name])
}

/** A copy that says recorded, in rounded numbers; what was one object stays one. */
function kept(value: unknown, seen: Map<object, unknown>, shared: Set<unknown>): unknown {
  if (typeof value === 'number') return rounded(value)
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || value instanceof Set) return value
  const known = seen.get(value)
  if (known) {
    shared.add(known)
    return known
  }
  const copy = Array.isArray(value) ? value.map((item) => kept(item, seen, shared)) : value instanceof Map
    ? new Map([...value].map(([key, item]) => [key, kept(item, seen, shared)]))
    : Object.fromEntries(Object.entries(value).flatMap(([key, item]) => (item === undefined ? [] : [[key, kept(item, seen, shared)]])))
  if ('how' in copy && copy['how'] === 'measured') copy['how'] = 'recorded'
  seen.set(value, copy)
  return copy
}

async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(stream).arrayBuffer())
}
