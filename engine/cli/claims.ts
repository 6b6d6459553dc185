import type { Claim, Value } from '../measure/claims/claim'
import { claims } from '../measure/claims/claims'
import { parseFlags } from './usage'

export const help = `expressway claims [options]

The claims ledger: published numbers, what this engine's formulas, roofline and scheduler make of each
under the same conditions, and the reason where they differ.

  --json            one JSON array on standard output
`

const FLAGS = { json: { type: 'boolean' } } as const

export async function main(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, FLAGS)
  const ledger = claims()
  console.log(flags['json'] ? JSON.stringify(ledger) : table(ledger))
}

function table(ledger: readonly Claim[]): string {
  const cells = ledger.map((c) => [c.id, show(c.published, c.unit), c.ours === undefined ? '–' : show(c.ours, c.unit), c.ratio === undefined ? '–' : c.ratio.toFixed(2), c.verdict])
  const head = ['claim', 'published', 'ours', 'ratio', 'verdict']
  const widths = head.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]!.length)))
  const line = (row: readonly string[]) => row.map((cell, i) => (i === 0 || i === 4 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ').trimEnd()
  const out = [line(head)]
  for (const [i, { claim, conditions, source, method, why, note }] of ledger.entries()) {
    // What was run is said once for neighbours that share it.
    const before = ledger[i - 1]
    const told = before?.conditions === conditions && before.source === source
    out.push(line(cells[i]!), told ? `  ${claim}.` : `  ${claim}. ${conditions}. ${source}; ${method}.`)
    if (why) out.push(`  ${why}.`)
    if (note) out.push(`  Note: ${note}.`)
  }
  const count = (verdict: Claim['verdict']) => ledger.filter((c) => c.verdict === verdict).length
  out.push('', `${ledger.length} numbers: ${count('reproduced')} reproduced, ${count('missed')} missed, ${count('not reproduced yet')} not reproduced yet`)
  return out.join('\n')
}

function show(value: Value, unit: Claim['unit']): string {
  const number = (v: number) => (v === 0 || v >= 100 ? v.toFixed(0) : v.toPrecision(3))
  return `${typeof value === 'number' ? number(value) : value.map(number).join('–')}${unit && ` ${unit}`}`
}
