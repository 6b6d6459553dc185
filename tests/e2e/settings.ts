import { encodeValue, type NumberParameter } from '$components/controls/params'
import { numberOf, type LiveSlide } from './slides'

/** Amounts of work: a run with the least of them is over soonest and goes the same way. */
const WORK = ['tok', 'req']
/** Where the least is not what the slide can say anything about. */
const KEPT: Readonly<Record<string, string>> = { '6.size': '6', '9.chunks': '2', '1.burst': '4' }

/** A query with every slide's lengths and counts at their smallest. */
export function slim(slides: readonly LiveSlide[]): string {
  const small = slides.flatMap(({ id, params }) => Object.values(params)
    .filter((p): p is typeof p & NumberParameter => p.kind === 'number' && WORK.includes(p.unit))
    .map((p) => [`${numberOf(id)}.${p.name}`, encodeValue(p.from)] as const))
  return Object.entries({ ...Object.fromEntries(small), ...KEPT }).map(([key, value]) => `${key}=${value}`).join('&')
}
