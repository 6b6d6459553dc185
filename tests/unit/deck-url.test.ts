import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { advance, slowdownFor, SLOWDOWNS } from '$components/frame/pace'
import { parameterKey, slideNumber } from '$components/frame/slide'
import { parameterIn, readOptions, withParameter } from '$components/frame/url'

test('slide numbers and keys stand without leading zeros', () => {
  expect(slideNumber('05_latency_components')).toBe(5)
  expect(parameterKey('05_latency_components', 'prompt')).toBe('5.prompt')
  expect(parameterKey('22_playbook', 'symptom')).toBe('22.symptom')
})

describe('page options', () => {
  test('defaults', () => {
    expect(readOptions('')).toEqual({ runner: 'auto', slow: 1, lens: { kind: 'here' }, theme: undefined, speaker: undefined, talk: false, frozen: false, read: false, problems: [] })
  })
  test('all of them', () => {
    expect(readOptions('?runner=wasm&slow=2.5&theme=dark&speaker=ab12&talk')).toMatchObject({ runner: 'wasm', slow: 2.5, theme: 'dark', speaker: 'ab12', talk: true, problems: [] })
  })
  test.each([['?runner=quantum', 'quantum'], ['?slow=0', 'slow=0'], ['?slow=fast', 'slow=fast'], ['?lens=moon', 'moon'], ['?theme=pink', 'pink']])(
    '%s is answered with a sentence and the default',
    (search, named) => {
      const options = readOptions(search)
      expect(options.problems).toHaveLength(1)
      expect(options.problems[0]).toContain(named)
      expect(options).toMatchObject({ runner: 'auto', slow: 1, theme: undefined })
    },
  )
})

describe('parameters in the query', () => {
  test('one is set, replaced and taken out; what else stands there stays as it was', () => {
    expect(withParameter('', '5.prompt', '1024')).toBe('?5.prompt=1024')
    expect(withParameter('?runner=wasm&5.prompt=16&x', '5.prompt', '1024')).toBe('?runner=wasm&x&5.prompt=1024')
    expect(withParameter('?5.prompt=16&2.prompt=8', '5.prompt', undefined)).toBe('?2.prompt=8')
    expect(withParameter('?5.prompt=16', '5.prompt', undefined)).toBe('')
  })
  test('what was written is read back, whatever it is', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.webQueryParameters(), (key, text, others) => {
        const search = withParameter(others, key, text)
        return parameterIn(search, key) === text && parameterIn(withParameter(search, key, undefined), key) === undefined
      }),
    )
  })
})

describe('pace', () => {
  test('a run is slowed so that it takes seconds, by a factor of the ladder, and never sped up', () => {
    expect(slowdownFor(60, 9000)).toBe(200)
    expect(slowdownFor(9, 9000)).toBe(1000)
    expect(slowdownFor(9000, 9000)).toBe(1)
    expect(slowdownFor(1e6, 9000)).toBe(1)
    expect(slowdownFor(0, 9000)).toBe(1)
  })
  test('the watched time is within a factor of two of what was wished, where the ladder reaches', () => {
    fc.assert(
      fc.property(fc.double({ min: 9, max: 9000, noNaN: true }), (ms) => {
        const factor = slowdownFor(ms, 9000)
        const watched = ms * factor
        return (SLOWDOWNS as readonly number[]).includes(factor) && watched > 4500 && watched < 18000
      }),
    )
  })
  test('playing moves on by wall time over the factor and stops at the end', () => {
    expect(advance(10, 100, 50, 1000)).toBe(12)
    expect(advance(999, 1000, 1, 1000)).toBe(1000)
  })
})
