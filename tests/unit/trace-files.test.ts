import fc from 'fast-check'
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { readTraceFile, TraceFileError } from '$engine/serving/trace-files'

const azure = 'TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:04.0319600,3180,8'
const log = (i: number, queued: number) => JSON.stringify({ request_id: `r${i}`, input_toks: 5 + i, output_toks: 3, arrival_time: 1.7e9, queued_ts: queued, scheduled_ts: queued + 0.001, first_token_ts: queued + 0.1, last_token_ts: queued + 0.5 })

describe('trace files', () => {
  test('Azure’s CSV: CRLF, seven digits, no newline at the end', () => {
    const t = readTraceFile(azure)
    expect(t).toMatchObject({ kind: 'azure-csv', outOfOrder: 0 })
    expect(t.requests.map((r) => [Math.round(r.arrival * 1e4) / 1e4, r.inputTokens, r.outputTokens])).toEqual([[0, 4808, 10], [52, 3180, 8]])
  })
  test('Mooncake’s JSONL keeps its prefix ids', () => {
    const t = readTraceFile('{"timestamp": 10, "input_length": 600, "output_length": 5, "hash_ids": [0, 1]}\n\n{"timestamp": 37, "input_length": 6, "output_length": 1, "hash_ids": [0]}\n')
    expect(t).toMatchObject({ kind: 'mooncake-jsonl', prefixBlock: 512 })
    expect(t.requests).toEqual([{ arrival: 0, inputTokens: 600, outputTokens: 5, prefix: [0, 1] }, { arrival: 27, inputTokens: 6, outputTokens: 1, prefix: [0] }])
  })
  test('a request log puts times out of order right, and counts them', () => {
    const t = readTraceFile([log(0, 10), log(1, 9.5), log(2, 11)].join('\n'))
    expect(t).toMatchObject({ kind: 'request-log-jsonl', outOfOrder: 1 })
    expect(t.requests.map((r) => r.inputTokens)).toEqual([6, 5, 7])
    expect(t.requests[0]!.observed!.firstToken).toBeCloseTo(100, 6)
    expect(t.requests[1]!.observed!.scheduled! - t.requests[1]!.arrival).toBeCloseTo(1, 6)
  })
  test('vLLM’s bench JSON, failed requests left out', () => {
    const t = readTraceFile(JSON.stringify({ duration: 9, input_lens: [4, 5], output_lens: [3, 0], ttfts: [0.2, 0], itls: [[0.1, 0.3], []], start_times: [100, 101], errors: ['', 'x'] }, null, 2))
    expect(t.kind).toBe('vllm-bench-json')
    expect(t.requests.length).toBe(1)
    expect(t.requests[0]!.observed!.firstToken).toBeCloseTo(200, 6)
    expect(t.requests[0]!.observed!.lastToken).toBeCloseTo(600, 6)
  })
  test.each([
    ['', 'the file is empty'], ['\n \n', 'the file is empty'], ['hello', ':1: neither a CSV header'],
    ['TIMESTAMP,ContextTokens,GeneratedTokens\n', 'no requests in it'],
    ['TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,5', ':2: 2 columns'],
    ['TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,5,5', ':2: "yesterday" is not a time'],
    ['TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,5,-5', ':2: GeneratedTokens is -5'],
    ['TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,NaN,5', ':2: ContextTokens'],
    ['{"timestamp": 1, "input_length": 2, "output_length": 3, "hash_ids": [1]}\n{"timestamp": "x"}', ':2: timestamp is "x"'],
    ['{"timestamp": 1, "input_length": 2.5, "output_length": 3, "hash_ids": [1]}', ':1: input_length is 2.5'],
    [`${log(0, 1)}\n{"queued_ts": 2`, ':2: not a JSON object'],
    ['{"a": 1}', 'no known kind of trace has the keys a'], ['{\n"input_lens": 3, "ttfts": 1}', 'input_lens is not a list'],
    ['{"input_lens": [1, 2], "output_lens": [1], "ttfts": [1], "itls": [[]], "start_times": [0]}', 'output_lens has 1 entries'],
  ])('names the line and the fault: %#', (text, words) => {
    expect(() => readTraceFile(text, 'file')).toThrow(TraceFileError)
    expect(() => readTraceFile(text, 'file')).toThrow(words)
  })
  test('a hundred thousand lines, CRLF, one of them earlier than the line above', () => {
    const lines = ['TIMESTAMP,ContextTokens,GeneratedTokens']
    for (let i = 0; i < 100_000; i++) lines.push(`2023-11-16 ${String(Math.floor(i / 5000)).padStart(2, '0')}:00:${String(i % 5000 === 7 ? 0 : 1)}0.${i % 10},${1 + (i % 4000)},${1 + (i % 300)}`)
    const t = readTraceFile(lines.join('\r\n'))
    expect(t.requests.length).toBe(100_000)
    expect(t.outOfOrder).toBeGreaterThan(0)
    for (let i = 1; i < 100_000; i++) if (t.requests[i]!.arrival < t.requests[i - 1]!.arrival) throw new Error(`line ${i} is out of order`)
    lines[99_999] = '2023-11-16 19:00:10,5'
    expect(() => readTraceFile(lines.join('\n'), 'big.csv')).toThrow('big.csv:100000: 2 columns')
  })
  test('whatever the bytes: a trace or a TraceFileError', () => {
    const damaged = fc.tuple(fc.constantFrom(azure, log(0, 1), '{"timestamp":1,"input_length":2,"output_length":3,"hash_ids":[1]}'), fc.nat({ max: 120 }), fc.string({ unit: 'binary', maxLength: 12 }))
      .map(([text, at, junk]) => text.slice(0, at) + junk + text.slice(at + junk.length))
    fc.assert(fc.property(fc.oneof(damaged, fc.string({ unit: 'binary' })), (text) => {
      try {
        for (const r of readTraceFile(text).requests) expect(r.arrival).toBeGreaterThanOrEqual(0)
      } catch (e) {
        expect(e).toBeInstanceOf(TraceFileError)
      }
    }), { numRuns: 500 })
  })

  const traces = '../shared/traces'
  const there = existsSync(traces)
  if (!there) console.warn('SKIPPED: ../shared/traces is absent, 1 test on real traces does not run')
  test.skipIf(!there)('the real files, against their published counts', () => {
    const read = (name: string) => readTraceFile(readFileSync(`${traces}/${name}`, 'utf8'), name)
    const code = read('azure-code-2023.csv')
    expect(code.requests.length).toBe(8819)
    expect(code.requests.reduce((n, r) => n + r.inputTokens, 0) / 8819).toBeCloseTo(2047.8, 1)
    const mooncake = read('mooncake-conversation.jsonl')
    expect(mooncake.requests.length).toBe(12031)
    // With an unbounded cache 105,710 of 288,500 blocks hit: an id seen before, all ids before it being equal too.
    const seen = new Set<number>()
    let hits = 0
    for (const r of mooncake.requests) for (const id of r.prefix!) {
      if (seen.has(id)) hits++
      else seen.add(id)
    }
    expect([hits, mooncake.requests.reduce((n, r) => n + r.prefix!.length, 0)]).toEqual([105710, 288500])
    expect(read('vllm-rtx4090-llama-3.1-8b.requests.jsonl').requests.length).toBe(300)
  })
})
