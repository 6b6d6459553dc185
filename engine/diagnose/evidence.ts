import { readTraceFile, TraceFileError, type LoggedRequest, type TraceFileKind } from '../serving/trace-files'
import { looksLikeTrace, parseTrace } from '../trace/parse'
import type { Provenance } from '../trace/provenance'
import type { Trace } from '../trace/trace'

/** What somebody brings to be looked into: a Trace with its steps, or requests as a log or a load generator saw them. */
export type Evidence = { name: string } & (
  | { kind: 'trace'; trace: Trace }
  | { kind: TraceFileKind; requests: LoggedRequest[] }
)

/** Reads a Trace, a vLLM bench file, a request log, or a trace of arrivals, told apart by content. Throws TraceError or TraceFileError in words. */
export function readEvidence(text: string, name: string): Evidence {
  if (text.includes('\0')) throw new TraceFileError(`${name}: holds bytes that no text has; give a Trace, a vLLM bench JSON or a request log`)
  const trace = asTrace(text, name)
  if (trace) return { name, kind: 'trace', trace: { ...trace, provenance: elsewhere(trace.provenance) } }
  const { kind, requests } = readTraceFile(text, name)
  return { name, kind, requests }
}

/** A Trace is one JSON object, most often on one line, that has a list of steps; undefined where this is none. */
function asTrace(text: string, name: string): Trace | undefined {
  // A log of a hundred megabytes is not to be parsed twice: each of its lines is an object of its own.
  if (!/^\s*\{/.test(text) || !/"steps"\s*:/.test(text) || !/"events"\s*:/.test(text)) return undefined
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return undefined
  }
  return looksLikeTrace(json) ? parseTrace(json, name) : undefined
}

/** What was measured on the machine that wrote the file is recorded to whoever reads it. */
function elsewhere(p: Provenance): Provenance {
  if (p.how === 'measured') return { ...p, how: 'recorded' }
  return p.how === 'simulated' ? { ...p, costs: elsewhere(p.costs) } : p
}
