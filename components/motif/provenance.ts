import type { DeviceInfo, How, Provenance } from '$engine/trace/provenance'

/** What each mark means, for legends and for those who cannot see it. */
export const HOW_MEANING: Record<How, string> = {
  measured: 'measured here, now',
  simulated: 'simulated from step costs',
  modelled: 'modelled by roofline',
  recorded: 'recorded on another machine or day',
  published: 'published by others',
}

/**
 * One sentence that says how a number is known, on which machine, when, under which conditions.
 * `now` decides between "just now" and a time of day.
 */
export function provenanceSentence(p: Provenance, now: Date = new Date()): string {
  const text = clause(p, now)
  return `${text[0]!.toUpperCase()}${text.slice(1)}.`
}

/** The same without capital and full stop, for footers: "measured just now on 2-core CPU, WebAssembly, tales-5m". */
export function provenanceClause(p: Provenance, now: Date = new Date()): string {
  return clause(p, now)
}

function clause(p: Provenance, now: Date): string {
  switch (p.how) {
    case 'measured':
      return `measured ${when(p.at, now)} on ${machine(p.device)}`
    case 'recorded':
      return `recorded ${when(p.at, now)} on ${machine(p.device)}`
    case 'simulated':
      return `simulated with seed ${p.seed} from step costs ${clause(p.costs, now)}`
    case 'modelled':
      return `modelled by roofline for ${p.hardware} with ${p.model}`
    case 'published':
      return `published: ${p.source} (${p.conditions})`
  }
}

function machine(d: DeviceInfo): string {
  const threads = d.threads && d.threads > 1 ? `, ${d.threads} threads` : ''
  return `${d.name}${threads}, ${d.model}`
}

const MINUTE = 60_000

/** "just now", "4 min ago", "at 14:03", or "on 2026-03-01". */
function when(at: string, now: Date): string {
  const then = new Date(at)
  const age = now.getTime() - then.getTime()
  if (Number.isNaN(age)) return 'at an unknown time'
  if (Math.abs(age) < MINUTE) return 'just now'
  if (age > 0 && age < 60 * MINUTE) return `${Math.floor(age / MINUTE)} min ago`
  if (then.toDateString() === now.toDateString()) return `at ${two(then.getHours())}:${two(then.getMinutes())}`
  return `on ${then.getFullYear()}-${two(then.getMonth() + 1)}-${two(then.getDate())}`
}

function two(n: number): string {
  return String(n).padStart(2, '0')
}
