import type { Provenance } from '$engine/trace/provenance'
import type { Quantity } from '$engine/trace/quantity'
import type { Car, Scene } from './scene'
import type { Place } from './stops'

/** The picture in one sentence, for who does not see it. */
export function sentence(scene: Scene | undefined): string {
  if (!scene) return 'An empty expressway: a toll plaza, an on-ramp and an elevated road.'
  const { counts } = scene
  const parts: string[] = []
  const say = (n: number, one: string, many: string) => {
    if (n > 0) parts.push(n === 1 ? `1 ${one}` : `${n} ${many}`)
  }
  say(counts.sent, 'request is on its way', 'requests are on their way')
  say(counts.waiting, parts.length ? 'waits' : 'request waits', parts.length ? 'wait' : 'requests wait')
  say(counts.prefill, parts.length ? 'is in prefill' : 'request is in prefill', parts.length ? 'are in prefill' : 'requests are in prefill')
  say(counts.decode, parts.length ? 'decodes' : 'request decodes', parts.length ? 'decode' : 'requests decode')
  const finished = scene.counts.done + (scene.counts.gone > 0 ? scene.counts.gone : 0)
  say(finished, parts.length ? 'is finished' : 'request is finished', parts.length ? 'are finished' : 'requests are finished')
  if (parts.length === 0) return 'The expressway is empty, its gates are open.'
  return `${parts.join(', ')}.`
}

/** What stands under a label of the picture: words, and the number they lead to. */
export interface Subline {
  text: string
  quantity?: Quantity
}

/** What goes on in the three places at the scene's moment. */
export function sublines(scene: Scene | undefined, provenance: Provenance | undefined): Record<Place, Subline> {
  const nothing = { text: '' }
  if (!scene || !provenance) return { queue: nothing, prefill: nothing, decode: nothing }
  const { counts, cars, longestWait, lastPrefill } = scene
  const computed = cars.reduce((n, car) => n + (car.phase === 'prefill' ? Math.floor(car.kvTokens) : 0), 0)
  const gaps = cars.filter((car) => car.speed > 0).map((car) => 1000 / car.speed)
  return {
    queue: counts.waiting === 0 ? { text: 'nobody waits' } : {
      text: `${counts.waiting} waiting,`,
      quantity: { metric: 'longest_wait', value: longestWait, unit: 'ms', provenance, note: 'The longest wait of those in line at this moment.' },
    },
    prefill: counts.prefill > 0 ? { text: `${requests(counts.prefill)}, ${computed} tokens in` } : !lastPrefill ? nothing : {
      text: `${lastPrefill.tokens} tokens in`,
      quantity: { metric: 'last_prefill', value: lastPrefill.ms, unit: 'ms', provenance, note: 'The newest prefill that is over: from leaving the line to the first token.' },
    },
    decode: gaps.length === 0 ? { text: counts.decode > 0 ? requests(counts.decode) : '' } : {
      text: `${requests(counts.decode)},`,
      quantity: { metric: 'token_gap', value: gaps.reduce((a, b) => a + b) / gaps.length, unit: 'ms/token', provenance, samples: gaps, note: 'Time between the two newest tokens, the mean of all that decode at this moment.' },
    },
  }
}

/** What one request is at. */
export function status(car: Car): string {
  const blocks = car.trailerBlocks === 1 ? '1 KV block' : `${car.trailerBlocks} KV blocks`
  switch (car.phase) {
    case 'sent': return 'on its way'
    case 'waiting': return `waiting ${milliseconds(car.waited)}`
    case 'prefill': return `${Math.floor(car.kvTokens)} tokens in, ${blocks}`
    case 'decode': return `${car.tokens} tokens out, ${blocks}`
    case 'done': return `finished, ${car.tokens} tokens out`
    case 'rejected': return 'turned away'
    case 'failed': return 'failed'
  }
}

const requests = (n: number) => (n === 1 ? '1 request' : `${n} requests`)

/** Three figures at most. */
function milliseconds(ms: number): string {
  if (ms >= 9950) return `${(ms / 1000).toFixed(1)} s`
  return `${ms >= 99.5 ? Math.round(ms) : ms >= 9.95 ? ms.toFixed(0) : ms.toFixed(1)} ms`
}
