/** A request as a trace file tells of it; times in ms from the file's first arrival. */
export interface LoggedRequest {
  arrival: number
  inputTokens: number
  outputTokens: number
  /** One id per block of `prefixBlock` tokens; equal leading ids are a shared prefix (Mooncake). */
  prefix?: number[]
  /** What the server or client saw, where the file says so. */
  observed?: { scheduled?: number; firstToken: number; lastToken: number }
}

export type TraceFileKind = 'azure-csv' | 'mooncake-jsonl' | 'vllm-bench-json' | 'request-log-jsonl'

export interface TraceFile {
  kind: TraceFileKind
  /** In order of arrival. */
  requests: LoggedRequest[]
  /** Tokens per id of `prefix` (Mooncake: 512). */
  prefixBlock?: number
  /** Lines whose time lay before the line above; they were put in order. */
  outOfOrder: number
}

/** A trace file that cannot be read; the message names the line. */
export class TraceFileError extends Error {
  override name = 'TraceFileError'
}

const MOONCAKE_BLOCK = 512

/** Reads any of the four kinds, told apart by content. Throws TraceFileError naming the line and the fault. */
export function readTraceFile(text: string, file = 'trace'): TraceFile {
  const start = text.charCodeAt(0) === 0xfeff ? 1 : 0
  const first = firstLine(text, start)
  if (first === undefined) throw new TraceFileError(`${file}: the file is empty`)
  if (/^"?TIMESTAMP"?,/i.test(first.line)) return finish(file, 'azure-csv', readLines(text, first.next, first.number, (l, n) => azureRow(l, n, file)))
  if (!first.line.startsWith('{')) throw new TraceFileError(`${file}:${first.number}: neither a CSV header TIMESTAMP,ContextTokens,GeneratedTokens nor JSON: ${quote(first.line)}`)
  const head = tryJson(first.line)
  if (head === undefined || 'ttfts' in head) return readBench(text.slice(start), file)
  if ('hash_ids' in head || ('input_length' in head && 'timestamp' in head)) {
    return { ...finish(file, 'mooncake-jsonl', readLines(text, start, 0, (l, n) => mooncakeRow(l, n, file))), prefixBlock: MOONCAKE_BLOCK }
  }
  if ('queued_ts' in head && 'first_token_ts' in head) return finish(file, 'request-log-jsonl', readLines(text, start, 0, (l, n) => logRow(l, n, file)))
  throw new TraceFileError(`${file}:${first.number}: no known kind of trace has the keys ${Object.keys(head).slice(0, 6).join(', ')}`)
}

function finish(file: string, kind: TraceFileKind, rows: LoggedRequest[]): TraceFile {
  if (rows.length === 0) throw new TraceFileError(`${file}: no requests in it`)
  let outOfOrder = 0
  let origin = Infinity
  for (let i = 0; i < rows.length; i++) {
    if (i > 0 && rows[i]!.arrival < rows[i - 1]!.arrival) outOfOrder++
    origin = Math.min(origin, rows[i]!.arrival)
  }
  for (const r of rows) {
    r.arrival -= origin
    if (r.observed) {
      r.observed.firstToken -= origin
      r.observed.lastToken -= origin
      if (r.observed.scheduled !== undefined) r.observed.scheduled -= origin
    }
  }
  if (outOfOrder > 0) rows.sort((a, b) => a.arrival - b.arrival)
  return { kind, requests: rows, outOfOrder }
}

/** Calls `row` for each line that is not blank, one at a time: a million lines need no second copy of the text. */
function readLines(text: string, from: number, before: number, row: (line: string, number: number) => LoggedRequest): LoggedRequest[] {
  const rows: LoggedRequest[] = []
  let number = before
  for (let at = from; at < text.length; ) {
    let end = text.indexOf('\n', at)
    if (end < 0) end = text.length
    number++
    const line = text.slice(at, end).trim()
    if (line) rows.push(row(line, number))
    at = end + 1
  }
  return rows
}

function firstLine(text: string, from: number): { line: string; next: number; number: number } | undefined {
  let number = 0
  for (let at = from; at < text.length; ) {
    let end = text.indexOf('\n', at)
    if (end < 0) end = text.length
    number++
    const line = text.slice(at, end).trim()
    at = end + 1
    if (line) return { line, next: at, number }
  }
  return undefined
}

function azureRow(line: string, number: number, file: string): LoggedRequest {
  const cells = line.split(',')
  if (cells.length < 3) throw new TraceFileError(`${file}:${number}: ${cells.length} columns, needs TIMESTAMP,ContextTokens,GeneratedTokens: ${quote(line)}`)
  return {
    arrival: timestamp(cells[0]!, number, file),
    inputTokens: count(Number(cells[1]), 'ContextTokens', number, file),
    outputTokens: count(Number(cells[2]), 'GeneratedTokens', number, file),
  }
}

/** "2023-11-16 18:17:03.9799600" to ms since 1970, UTC; all seven digits count. */
function timestamp(cell: string, number: number, file: string): number {
  const m = /^"?(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(\.\d+)?/.exec(cell)
  if (!m) throw new TraceFileError(`${file}:${number}: ${quote(cell)} is not a time like 2023-11-16 18:17:03.97`)
  const [y, mo, d, h, mi, s] = m.slice(1, 7).map(Number) as [number, number, number, number, number, number]
  return Date.UTC(y, mo - 1, d, h, mi, s) + Number(m[7] ?? 0) * 1000
}

function mooncakeRow(line: string, number: number, file: string): LoggedRequest {
  const o = object(line, number, file)
  const prefix = o['hash_ids']
  if (prefix !== undefined && !(Array.isArray(prefix) && prefix.every(Number.isInteger))) throw new TraceFileError(`${file}:${number}: hash_ids is not a list of whole numbers`)
  return {
    arrival: real(o['timestamp'], 'timestamp', number, file),
    inputTokens: count(o['input_length'], 'input_length', number, file),
    outputTokens: count(o['output_length'], 'output_length', number, file),
    prefix: prefix as number[] | undefined,
  }
}

/** vLLM request logs: arrivals by `queued_ts`, on the same clock as the other times (seconds). */
function logRow(line: string, number: number, file: string): LoggedRequest {
  const o = object(line, number, file)
  const ms = (key: string) => real(o[key], key, number, file) * 1000
  return {
    arrival: ms('queued_ts'),
    inputTokens: count(o['input_toks'], 'input_toks', number, file),
    outputTokens: count(o['output_toks'], 'output_toks', number, file),
    observed: { scheduled: o['scheduled_ts'] == null ? undefined : ms('scheduled_ts'), firstToken: ms('first_token_ts'), lastToken: ms('last_token_ts') },
  }
}

/** The result file of `vllm bench serve`; failed requests (no output) are left out. */
function readBench(text: string, file: string): TraceFile {
  const o = tryJson(text)
  if (o === undefined) throw new TraceFileError(`${file}: not JSON, and not JSON line by line either`)
  const list = (key: string): unknown[] => {
    const value = o[key]
    if (!Array.isArray(value)) throw new TraceFileError(`${file}: ${key} is not a list; vllm bench writes it with --save-detailed`)
    return value
  }
  const inputs = list('input_lens')
  const outputs = list('output_lens')
  const ttfts = list('ttfts')
  const itls = list('itls')
  const starts = list('start_times')
  for (const [key, l] of Object.entries({ output_lens: outputs, ttfts, itls, start_times: starts })) {
    if (l.length !== inputs.length) throw new TraceFileError(`${file}: ${key} has ${l.length} entries, input_lens has ${inputs.length}`)
  }
  const rows: LoggedRequest[] = []
  for (let i = 0; i < inputs.length; i++) {
    const at = `entry ${i}`
    const gaps = itls[i]
    if (!Array.isArray(gaps)) throw new TraceFileError(`${file}: itls, ${at}: not a list`)
    const outputTokens = count(outputs[i], 'output_lens', at, file)
    if (outputTokens === 0) continue
    const arrival = real(starts[i], 'start_times', at, file) * 1000
    const firstToken = arrival + real(ttfts[i], 'ttfts', at, file) * 1000
    const lastToken = firstToken + gaps.reduce((sum: number, g) => sum + real(g, 'itls', at, file) * 1000, 0)
    rows.push({ arrival, inputTokens: count(inputs[i], 'input_lens', at, file), outputTokens, observed: { firstToken, lastToken } })
  }
  return finish(file, 'vllm-bench-json', rows)
}

function object(line: string, number: number, file: string): Record<string, unknown> {
  const o = tryJson(line)
  if (o === undefined) throw new TraceFileError(`${file}:${number}: not a JSON object: ${quote(line)}`)
  return o
}

function tryJson(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function real(value: unknown, key: string, at: number | string, file: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new TraceFileError(`${file}:${at}: ${key} is ${JSON.stringify(value)}, not a number`)
  return value
}

function count(value: unknown, key: string, at: number | string, file: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw new TraceFileError(`${file}:${at}: ${key} is ${JSON.stringify(value)}, not a number of tokens`)
  return value
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
}
