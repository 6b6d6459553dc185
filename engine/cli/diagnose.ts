import { access } from 'node:fs/promises'
import { diagnose, shares, type Diagnosis } from '../diagnose/diagnose'
import { readEvidence } from '../diagnose/evidence'
import { metaBeside, readMeta } from './log-limits'
import { userPath } from './place'
import { readText } from './scenario-files'
import { parseFlags, UsageError } from './usage'

export const help = `expressway diagnose FILE [options]

Says where the time of its requests went: of whole answers, until the first token, from then on, and of those
that waited longest. FILE is a Trace (JSON), what "vllm bench serve --save-result --save-detailed" wrote, or a
vLLM request log (JSONL; engine limits are read from NAME.meta.json beside it).

A Trace with steps is judged by their FLOPs and bytes against its roofs. From the others a step cost of five
numbers is fitted, and "error" says how far the requests' simulation with it is off.

  --json            one JSON object on standard output
`

export async function main([path, ...args]: readonly string[]): Promise<void> {
  if (path === undefined || path.startsWith('-')) throw new UsageError('the file is missing: expressway diagnose FILE')
  const flags = parseFlags(args, { json: { type: 'boolean' } })
  const file = userPath(path)
  const evidence = readEvidence(await readText(file), path)
  const limits = evidence.kind === 'request-log-jsonl' ? await readMeta(metaBeside(file)) : await limitsIfThere(file)
  const found = diagnose(evidence, { limits })
  if (!flags['json']) return print(found)
  const { served: { requests: _, ...served }, ...rest } = found
  console.log(JSON.stringify({ ...rest, served }))
}

async function limitsIfThere(file: string) {
  const meta = metaBeside(file)
  return meta === file ? undefined : access(meta).then(() => readMeta(meta), () => undefined)
}

function print({ source, bottleneck, parts, tailShare, signs, served }: Diagnosis): void {
  console.log(`${source.name}: ${bottleneck} (${source.used} of ${source.requests} requests looked into)`)
  const rows = { 'whole answers': parts.e2e, 'first token': parts.ttft, 'after it': parts.decode, [`slowest ${100 * tailShare} %`]: parts.tail }
  for (const [name, of] of Object.entries(rows)) console.log(`${name.padEnd(14)} ${shares(of).filter((s) => s.share >= 0.5).map((s) => `${s.bottleneck} ${s.share.toFixed(0)} %`).join(', ')}`)
  for (const s of signs) console.log(`${s.what.replaceAll('_', ' ').padEnd(14)} ${Number(s.value.toPrecision(3))} ${s.unit} (${s.speaksFor})`)
  console.log(`simulation off by ${Object.entries(served.error).filter(([, v]) => Number.isFinite(v)).map(([k, v]) => `${k.replace('_', ' ')} ${(100 * v).toFixed(1)} %`).join(', ')}`)
}
