import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decode, type Params } from '$components/controls/params'
import { message, readFrameMessage, readHostMessage, trustedOrigin, type HostMessage } from '$components/embed/messages'
import { readOptions } from '$components/frame/url'
import { main } from '$engine/cli/embed-code'
import { UsageError } from '$engine/cli/usage'
import { EMBED_OPTIONS, embedAddress, embedCode } from '$engine/worker/embed-address'
import { slideHeads } from '../../scripts/embed-pages'
import { deck } from '$slides/deck'

const EXPERIMENTS = Object.fromEntries(Object.entries(import.meta.glob<{ params: Params }>('../../slides/*/experiment.ts', { eager: true })).map(([path, experiment]) => [path.split('/').at(-2)!, experiment.params]))
const SITE = 'https://example.org/latency/'

describe('what is posted to a frame', () => {
  const set = { source: 'token-expressway', version: 1, type: 'set', parameters: { batch: '32' } }

  test('of the right shape is heard, as a copy', () => {
    const heard = readHostMessage(set) as HostMessage & { type: 'set' }
    expect(heard).toEqual(set)
    expect(heard.parameters).not.toBe(set.parameters)
    expect(readHostMessage({ ...set, type: 'start' })).toEqual(message<HostMessage>({ type: 'start' }))
    expect(readFrameMessage({ source: 'token-expressway', version: 1, type: 'size', height: 720.5 })).toMatchObject({ height: 720.5 })
    expect(readFrameMessage({ source: 'token-expressway', version: 1, type: 'state', slide: '05_latency_components', parameters: {}, shows: 'recorded' })).toBeDefined()
  })

  test.each([
    { version: 2 }, { version: '1' }, { source: 'token' }, { type: 'eval' }, { parameters: { batch: 32 } }, { parameters: ['32'] }, { parameters: null }, { parameters: { 'a.b': '1' } },
    { parameters: { batch: 'x'.repeat(201) } }, { parameters: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`p${i}`, '1'])) }, { parameters: JSON.parse('{"__proto__":"1"}') as unknown },
  ])('with %o it is not', (wrong) => {
    expect(readHostMessage({ ...set, ...wrong })).toBeUndefined()
  })

  test.each([{ height: 0 }, { height: -1 }, { height: NaN }, { height: Infinity }, { height: 20_001 }, { height: '700' }])('nor a size of %o by the page around', (wrong) => {
    expect(readFrameMessage({ source: 'token-expressway', version: 1, type: 'size', ...wrong })).toBeUndefined()
  })

  test('anything at all, ten thousand times: heard is only what has the shape, and nothing throws', () => {
    const head = fc.record({ source: fc.constantFrom<unknown>('token-expressway', 'x', 1), version: fc.constantFrom<unknown>(1, 2, '1'), type: fc.constantFrom<unknown>('set', 'start', 'size', 'state', 'x', null), parameters: fc.anything(), height: fc.anything(), slide: fc.anything(), shows: fc.anything() }, { requiredKeys: [] })
    fc.assert(fc.property(fc.oneof(fc.anything({ withNullPrototype: true, withMap: true, withDate: true, withBigInt: true }), head), (data) => {
      const heard = readHostMessage(data)
      if (heard?.type === 'set') {
        expect(Object.keys(heard.parameters).length).toBeLessThanOrEqual(32)
        for (const [name, text] of Object.entries(heard.parameters)) expect([/^[a-z][a-z0-9_]*$/.test(name), typeof text]).toEqual([true, 'string'])
      }
      const said = readFrameMessage(data)
      if (said?.type === 'size') expect(said.height > 0 && said.height <= 20_000).toBe(true)
    }), { numRuns: 10_000 })
  })
})

test('one http or https origin is trusted, and nothing that merely contains one', () => {
  expect(trustedOrigin('https://docs.example')).toBe('https://docs.example')
  expect(trustedOrigin('http://127.0.0.1:8080')).toBe('http://127.0.0.1:8080')
  for (const text of [null, '', '*', 'null', 'https://docs.example/', 'https://docs.example/a', 'https://a@docs.example', 'docs.example', 'javascript:alert(1)', 'file://', 'data:text/html,x', 'https://docs.example https://x'])
    expect(trustedOrigin(text), String(text)).toBeUndefined()
})

test('any query, ten thousand times: options and every slide’s parameters take values they can have', () => {
  const all = Object.entries(EXPERIMENTS)
  fc.assert(fc.property(fc.nat(), fc.dictionary(fc.oneof(fc.string(), fc.constantFrom(...EMBED_OPTIONS)), fc.oneof(fc.string(), fc.double().map(String), fc.constantFrom('on', '1e999', '-0', '0x10', ' 7 ', 'NaN', '__proto__'))), (n, query) => {
    const options = readOptions(`?${new URLSearchParams(query).toString()}`)
    expect(options.slow > 0).toBe(true)
    const [, params] = all[n % all.length]!
    const names = Object.keys(params)
    const texts = { ...query, ...(names.length ? { [names[n % names.length]!]: Object.values(query)[0] ?? 'x' } : {}) }
    for (const [name, value] of Object.entries(decode(params, texts).values)) {
      const p = params[name]!
      if (p.kind === 'number') expect(p.clamp(value as number), name).toBe(value)
      else if (p.kind === 'choice') expect(p.options.map((o) => o.value), name).toContain(value)
      else expect(typeof value, name).toBe('boolean')
    }
  }), { numRuns: 10_000 })
})

describe('the code', () => {
  test('says what it is to show, escaped', () => {
    expect(embedCode(SITE, { slide: '10_batch_size_tradeoff', parameters: { batch: '16' }, options: { hide: 'callouts,notes' } })).toBe(
      '<script type="module" src="https://example.org/latency/embed.js"></script>\n<token-expressway slide="10_batch_size_tradeoff" batch="16" hide="callouts,notes"></token-expressway>')
    expect(embedCode(SITE, { slide: '05_latency_components', parameters: { prompt: '"><script>' } })).toContain('prompt="&quot;&gt;&lt;script&gt;"')
    expect(embedCode(SITE, { slide: '05_latency_components', parameters: { prompt: '8' } }, 'iframe')).toContain('src="https://example.org/latency/embed/05_latency_components/?prompt=8"')
    expect(() => embedAddress(SITE, { slide: '05_latency_components', parameters: { trust: 'https://x.example' } })).toThrow('"trust" is a word of the address itself')
    expect(() => embedAddress(SITE, { slide: '05_latency_components', parameters: { 'a b': '1' } })).toThrow('no parameter’s name'.replace('’', "'"))
  })

  test('no slide has a parameter that an embed’s address or HTML itself has a use for', () => {
    for (const [id, params] of Object.entries(EXPERIMENTS)) {
      for (const name of Object.keys(params)) expect([...EMBED_OPTIONS, 'class', 'dir', 'hidden', 'id', 'lang', 'part', 'role', 'slide', 'slot', 'style', 'title'], id).not.toContain(name)
    }
  })

  test('the pages’ heads are the deck’s', () => {
    expect(slideHeads(process.cwd()).map(({ id, headline }) => ({ id, headline }))).toEqual(deck.map(({ id, headline }) => ({ id, headline })))
  })
})

describe('expressway embed-code', () => {
  test('prints the code of a slide by its number', () => {
    const out = execFileSync(process.execPath, ['scripts/run.mjs', 'engine/cli/main.ts', 'embed-code', '10', '--set', 'batch=16', '--set', 'policy=static', '--hide', 'callouts,notes', '--site', 'https://example.org/latency', '--json'], { encoding: 'utf8' })
    expect(JSON.parse(out)).toEqual({
      slide: '10_batch_size_tradeoff',
      address: 'https://example.org/latency/embed/10_batch_size_tradeoff/?batch=16&policy=static&hide=callouts%2Cnotes',
      html: '<script type="module" src="https://example.org/latency/embed.js"></script>\n<token-expressway slide="10_batch_size_tradeoff" batch="16" policy="static" hide="callouts,notes"></token-expressway>',
    })
  })

  test.each([[['77'], 'there is no slide "77"'], [[], 'give one slide'], [['5', '--hide', 'everything'], 'there is no part "everything"'], [['5', '--set', 'prompt'], 'NAME=VALUE'], [['5', '--set', 'lens=x'], 'a word of the address'], [['5', '--site', 'here'], '--site takes an address'], [['5', '--colour', 'red'], '--colour']] as const)('%s is refused with a reason', async (args, reason) => {
    const refused: unknown = await main(args).then(() => undefined, (error: unknown) => error)
    expect(refused).toBeInstanceOf(UsageError)
    expect((refused as UsageError).message).toContain(reason)
  })
})
