import { parseScenario } from '$engine/serving/scenario'
import { simulate } from '$engine/serving/simulate'
import { live } from './live'
import { QUEUEING } from './rows'

// npm run fidelity [-- --share 0.1]
// npm run fidelity -- live [--seeds 1,2,3] [--loads 0.5,0.7,0.85]
//
// Without a word: every queueing check at 6.25 times the sample that ±5 % asks for, so that ±2 % can be judged; seeds
// fixed, intervals widened for the number of rows (Bonferroni). Exits non-zero when a row misses.

const SEED = 1
const flag = (name: string): string | undefined => (process.argv.includes(`--${name}`) ? process.argv[process.argv.indexOf(`--${name}`) + 1] : undefined)
const numbers = (name: string, preset: number[]) => flag(name)?.split(',').map(Number) ?? preset

const missed = process.argv.includes('live')
  ? await live({ seeds: numbers('seeds', [1, 2, 3]), loads: numbers('loads', [0.5, 0.7, 0.85]) })
  : queueing(Number(flag('share') ?? 1))
process.exitCode = missed === 0 ? 0 : 1

/** How many rows miss. */
function queueing(share: number): number {
  // 95 % for all rows together: each gets its part of the risk.
  const widen = normalPoint(1 - 0.025 / QUEUEING.length) / normalPoint(0.975)
  let missed = 0

  console.log(`${'check'.padEnd(52)}${'theory'.padStart(9)}${'simulated'.padStart(11)}${'off by'.padStart(9)}${'interval ±'.padStart(12)}${'requests'.padStart(11)}  verdict`)
  for (const row of QUEUEING) {
    const requests = Math.round(row.customers * 6.25 * share)
    const { result } = simulate(parseScenario({ seed: SEED, requests, warmup: Math.round(requests / 20), ...row.scenario }))
    const spread = row.figure === 'wait' ? result.wait_ms! : result.e2e_ms!
    const p99 = row.figure === 'sojourn-p99'
    const value = (p99 ? spread.p99 : spread.mean) / 1000
    const [low, high] = p99 ? spread.p99_interval : spread.interval
    const half = ((high - low) / 2000) * widen
    const off = value / row.expected - 1
    const passed = Math.abs(off) <= (row.tolerance ?? 0.02)
    if (!passed) missed++
    console.log(`${row.name.padEnd(52)}${row.expected.toPrecision(5).padStart(9)}${value.toPrecision(5).padStart(11)}${percent(off).padStart(9)}${percent(half / row.expected).padStart(12)}${String(requests).padStart(11)}  ${passed ? 'holds' : Math.abs(value - row.expected) <= half ? 'misses, within its interval' : 'MISSES'}`)
  }
  console.log(missed === 0 ? 'all hold' : `${missed} of ${QUEUEING.length} miss`)
  return missed
}

function percent(x: number): string {
  return `${(100 * x).toFixed(2)} %`
}

/** Where the normal distribution reaches p, by bisection. */
function normalPoint(p: number): number {
  let low = 0
  let high = 10
  for (let i = 0; i < 60; i++) {
    const z = (low + high) / 2
    if (normalCdf(z) < p) low = z
    else high = z
  }
  return low
}

/** Abramowitz & Stegun 26.2.17, within 7.5e-8. */
function normalCdf(z: number): number {
  const t = 1 / (1 + 0.2316419 * z)
  const tail = (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
  return 1 - tail
}
