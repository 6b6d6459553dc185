// npm run bench [-- --rounds N] [-- --models tales-5m,24e6] [-- --only wasm,onnxruntime,llama] [-- --json]
//
// Milliseconds a token and GB/s of each runner on this machine, with what the machine can read beside
// it. Runners take turns within a round, so that what slows the machine down slows all of them; the
// numbers are medians over rounds. Beside them, on the same weights in f32, onnxruntime-web (WebAssembly) and
// llama.cpp (native), one thread each, where `npm run bench:peers` has installed them.

import { availableParallelism, cpus } from 'node:os'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { withPage } from '$engine/cli/chromium'
import { folderReader, ROOT } from '$engine/cli/place'
import { parameterCount, type ModelConfig } from '$engine/model/config'
import { work } from '$engine/model/work'
import { readRate } from '$engine/trace/bottleneck'
import { percentile } from '$engine/trace/metrics'
import type { Roofs } from '$engine/trace/trace'
import { findChromium } from '../../scripts/chromium.mjs'
import type { BenchPage } from './page/main'
import { openCheckedPeer } from './peers/checked'
import { openLlama } from './peers/llama'
import { openOnnxRuntime } from './peers/onnxruntime'
import { openSubject, roofsOf, type ModelChoice, type Reading, type Setup, type Subject } from './subject'

declare const bench: BenchPage

/** Positions before the token that is timed, and tokens of the prompt: measureDecode and measurePrefill say so. */
const CONTEXT = 64
const PROMPT = 256
/** A runner whose one prefill takes longer than this, by its own roof, would hold the bench up for minutes. */
const LONGEST_PREFILL_S = 3

interface Bench {
  label: string
  /** Why it cannot be measured, in words; the rest is then absent. */
  missing?: string
  open?(choice: ModelChoice): Promise<Subject>
  /** Of this project's own runners. */
  roofs?: Roofs
}

interface Row {
  model: string
  runner: string
  note?: string
  decode_ms?: number
  /** Of the best round. */
  decode_best_ms?: number
  read_gbps?: number
  readable_gbps?: number
  prefill_ms?: number
  gflops?: number
  matmul_gflops?: number
}

const { values: flags } = parseArgs({ options: { rounds: { type: 'string', default: '3' }, models: { type: 'string', default: 'tales-0.3m,tales-1m,tales-5m,24e6' }, only: { type: 'string', default: '' }, json: { type: 'boolean' } } })
/** Runners that are asked for, by the beginning of their labels. */
const isAsked = (label: string) => flags.only.split(',').some((start) => label.startsWith(start))
const rounds = Math.max(1, Number.parseInt(flags.rounds, 10) || 3)
const choices = flags.models.split(',').map((name): ModelChoice => (Number(name) > 0 ? { parameters: Number(name) } : { name }))
const folder = (name: string) => join(ROOT, 'assets/models', name)
const say = (line: string) => console.error(line)

const cores = availableParallelism()
const setups: Setup[] = [{ runner: 'reference' }, { runner: 'wasm', threads: 1 }, ...(cores > 1 ? [{ runner: 'wasm', threads: cores } as const] : [])]
const benches: Bench[] = []
for (const setup of setups) {
  const label = setup.threads ? `${setup.runner}, ${setup.threads} thread${setup.threads > 1 ? 's' : ''}` : setup.runner
  if (!isAsked(label)) continue
  say(`Measuring what ${label} can read and multiply …`)
  benches.push({ label, roofs: await roofsOf(setup), open: (choice) => openSubject(setup, choice, (name) => folderReader(folder(name))) })
}
const peers: Bench[] = [
  { label: 'onnxruntime-web wasm, 1 thread', open: (choice: ModelChoice) => openCheckedPeer(choice, folder, openOnnxRuntime) },
  { label: 'llama.cpp native, 1 thread', open: (choice: ModelChoice) => openCheckedPeer(choice, folder, openLlama) },
].filter(({ label }) => isAsked(label))
await withWebGpu(async (webgpu) => {
  benches.push(...(webgpu ? [webgpu] : []), ...peers)
  report(await measureAll())
})

/** Hands over the bench of the webgpu runner, which lives in a browser. */
async function withWebGpu(use: (webgpu: Bench | undefined) => Promise<void>): Promise<void> {
  const label = 'webgpu'
  if (!isAsked(label)) return use(undefined)
  const executablePath = findChromium()
  if (!executablePath) return use({ label, missing: 'no Chrome or Chromium is installed' })
  const named = choices.flatMap((c) => ('name' in c ? [c.name] : []))
  let opened = false
  try {
    await withPage({ source: join(ROOT, 'tests/bench/page'), models: Object.fromEntries(named.map((n) => [n, folder(n)])), executablePath }, async (page) => {
      opened = true
      say('Measuring what webgpu can read and multiply …')
      await use({
        label,
        roofs: await page.evaluate(() => bench.roofs()),
        open: async (choice) => ({
          ...(await page.evaluate((c) => bench.open(c), choice)),
          measure: () => page.evaluate(() => bench.measure()),
          close: () => page.evaluate(() => bench.close()),
        }),
      })
    })
  } catch (error) {
    if (opened) throw error
    await use({ label, missing: error instanceof Error ? error.message : String(error) })
  }
}

async function measureAll(): Promise<Row[]> {
  const rows: Row[] = []
  for (const choice of choices) rows.push(...(await measureModel(choice)))
  return rows
}

async function measureModel(choice: ModelChoice): Promise<Row[]> {
  const name = 'name' in choice ? choice.name : `timing, ${choice.parameters / 1e6} M`
  if ('name' in choice && !existsSync(folder(choice.name))) return [{ model: name, runner: 'all', note: `not measured here: ${folder(choice.name)} is not there` }]
  say(`Running ${name} …`)
  const rows: Row[] = []
  const running: { bench: Bench; subject: Subject; readings: Reading[]; row: Row }[] = []
  for (const b of benches) {
    const row: Row = { model: name, runner: b.label }
    rows.push(row)
    const why = b.missing ?? ('parameters' in choice && b.roofs && prefillSeconds(choice.parameters, b.roofs) > LONGEST_PREFILL_S ? 'a prefill would take too long on this runner' : undefined)
    if (why) row.note = `not measured here: ${why}`
    else {
      try {
        running.push({ bench: b, subject: await b.open!(choice), readings: [], row })
      } catch (error) {
        row.note = `not measured here: ${error instanceof Error ? error.message : error}`
      }
    }
  }
  for (let round = 0; round < rounds; round++) for (const r of running) r.readings.push(await r.subject.measure())
  for (const { bench: b, subject, readings, row } of running) {
    Object.assign(row, figures(subject.config, readings, b.roofs))
    row.model = `${name} (${(parameterCount(subject.config) / 1e6).toFixed(1)} M)`
    await subject.close()
  }
  return rows
}

/** Of the prompt that calibration takes: two FLOPs a parameter and token. */
function prefillSeconds(parameters: number, roofs: Roofs): number {
  return (2 * parameters * PROMPT) / roofs.flopsPerSecond
}

/** Medians, and what they come to against the roofs. */
function figures(config: ModelConfig, readings: readonly Reading[], roofs: Roofs | undefined): Partial<Row> {
  const decode = percentile(readings.map((r) => r.decodeMs), 50)
  const prefill = percentile(readings.map((r) => r.prefillMs), 50)
  const widths = { weight: 4, kv: 4 }
  const step = work(config, [{ tokens: 1, context: CONTEXT, sampledRows: 1 }], widths)
  const chunk = work(config, [{ tokens: PROMPT, context: 0, sampledRows: 1 }], widths)
  return {
    decode_ms: decode,
    decode_best_ms: Math.min(...readings.map((r) => r.decodeMs)),
    read_gbps: step.bytes / decode / 1e6,
    readable_gbps: roofs && readRate(roofs, step.workingSet) / 1e9,
    prefill_ms: prefill,
    gflops: chunk.flops / (prefill * PROMPT) / 1e6,
    matmul_gflops: roofs && roofs.flopsPerSecond / 1e9,
  }
}

function report(rows: readonly Row[]): void {
  const machine = { cpu: cpus()[0]?.model.trim() ?? 'unknown', cores, node: process.version, rounds, at: new Date().toISOString() }
  if (flags.json) {
    console.log(JSON.stringify({ machine, roofs: Object.fromEntries(benches.map((b) => [b.label, b.roofs ?? b.missing])), rows }, null, 2))
    return
  }
  console.log(`${machine.cpu}, ${cores} cores, Node ${machine.node}; medians of ${rounds} rounds, runners taking turns\n`)
  console.log('What each can read, GB/s by working set:')
  for (const { label, roofs, missing } of benches.filter((b) => b.roofs ?? b.missing)) {
    console.log(`  ${label.padEnd(18)}${roofs ? roofs.read.map((p) => `${(p.bytesPerSecond / 1e9).toFixed(1)} (${p.bytes / 2 ** 20} MB)`).join('  ') : `not measured here: ${missing}`}`)
  }
  const number = (x: number | undefined, digits: number) => (x === undefined ? '' : x.toPrecision(digits))
  const head = ['model', 'runner', 'decode ms/token', 'best', 'GB/s', 'of GB/s', 'prefill ms/token', 'GFLOP/s', 'of GFLOP/s']
  const table = rows.map((r) => [r.model, r.runner, ...(r.note ? [r.note] : [number(r.decode_ms, 3), number(r.decode_best_ms, 3), number(r.read_gbps, 3), number(r.readable_gbps, 3), number(r.prefill_ms, 3), number(r.gflops, 3), number(r.matmul_gflops, 3)])])
  const widths = head.map((h, i) => Math.max(h.length, ...table.filter((cells) => cells.length === head.length || i < 2).map((cells) => cells[i]?.length ?? 0)))
  const line = (cells: readonly string[]) => cells.map((c, i) => (i < 2 || cells.length < head.length ? c.padEnd(widths[i]!) : c.padStart(widths[i]!))).join('  ').trimEnd()
  console.log(`\n${line(head)}`)
  for (const cells of table) console.log(line(cells))
}
