import type { Car, Scene } from './scene'

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

/** What stands under a label of the picture; a slide may say it in its own words. */
export interface Sublines {
  queue: string
  prefill: string
  decode: string
}

export function sublines(scene: Scene | undefined): Sublines {
  if (!scene) return { queue: '', prefill: '', decode: '' }
  const { counts, cars, longestWait, lastPrefill } = scene
  const climbing = cars.filter((car) => car.phase === 'prefill')
  const decoding = cars.filter((car) => car.phase === 'decode')
  const computed = climbing.reduce((n, car) => n + Math.floor(car.kvTokens), 0)
  const speeds = decoding.filter((car) => car.speed > 0)
  const perToken = speeds.reduce((ms, car) => ms + 1000 / car.speed, 0) / speeds.length
  return {
    queue: counts.waiting === 0 ? 'nobody waits' : `${counts.waiting} waiting, ${milliseconds(longestWait)}`,
    prefill: counts.prefill > 0 ? `${requests(counts.prefill)}, ${computed} tokens in` : lastPrefill ? `${lastPrefill.tokens} tokens in ${milliseconds(lastPrefill.ms)}` : '',
    decode: counts.decode === 0 ? '' : speeds.length === 0 ? requests(counts.decode) : `${requests(counts.decode)}, ${milliseconds(perToken)} a token`,
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
