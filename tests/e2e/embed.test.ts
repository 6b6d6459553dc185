import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import { compile, run } from '@mdx-js/mdx'
import MarkdownIt from 'markdown-it'
import { chromium, type Frame, type Page } from 'playwright'
import { describe } from 'vitest'
import { deck as slides } from '$slides/deck'
import { chromiumArgs, findChromium } from '../../scripts/chromium.mjs'
import { foreignSite, htmlPage } from './foreign'
import { expect, test } from './harness'

const COMPONENTS = '05_latency_components'
const alive = (id: string) => existsSync(`slides/${id}/experiment.ts`)
const recorded = (id: string) => existsSync(`assets/recorded/${id}.bin`)
const script = (site: string) => `<script type="module" src="${site}embed.js"></script>`
const element = (slide: string, more = '') => `<token-expressway slide="${slide}" ${more}></token-expressway>`

/** The frame of the n-th embed of a page, once its slide has drawn something. */
async function frameOf(page: Page, n = 0): Promise<Frame> {
  const handle = await page.locator('token-expressway > iframe').nth(n).elementHandle()
  const frame = (await handle!.contentFrame())!
  await frame.locator('section[data-ready="true"]').waitFor({ state: 'attached', timeout: 60_000 })
  return frame
}

const hows = (frame: Frame) => frame.locator('[data-value]').evaluateAll((all) => [...new Set((all as HTMLElement[]).map((e) => e.dataset['how']))])

describe('from a page of another origin', () => {
  test('every slide shows its recording first, as tall as it is, with no model fetched and no policy broken', async ({ deck }) => {
    const site = await foreignSite({ '/': htmlPage(script(deck.site) + slides.map((s) => element(s.id)).join('<p>…</p>')) })
    const page = await deck.open(site, { viewport: { width: 900, height: 900 } })
    const fetched: string[] = []
    page.on('request', (request) => fetched.push(new URL(request.url()).pathname))
    for (const [n, { id }] of slides.entries()) {
      const iframe = page.locator('token-expressway > iframe').nth(n)
      await iframe.scrollIntoViewIfNeeded()
      const frame = (await (await iframe.elementHandle())!.contentFrame())!
      if (recorded(id)) {
        await frame.locator('section[data-ready="true"]').waitFor({ state: 'attached', timeout: 30_000 })
        const found = await hows(frame)
        expect(found.length, id).toBeGreaterThan(0)
        expect(found, id).not.toContain('measured')
        expect(await frame.locator('main > .bar').innerText(), id).toMatch(/Recorded on .*Run it on this device/s)
      } else await frame.getByText(slides[n]!.headline).first().waitFor({ timeout: 30_000 })
      await expect.poll(async () => {
        const height = await frame.locator('main').evaluate((main) => Math.ceil(main.getBoundingClientRect().height))
        return height > 200 && Math.abs(height - (await iframe.evaluate((e) => (e as HTMLElement).offsetHeight)))
      }, { message: id }).toBeLessThanOrEqual(1)
    }
    expect(fetched.filter((path) => /assets\/models|\/worker-/.test(path))).toEqual([])
    expect(deck.trouble.errors).toEqual([])
  })

  test('the engine starts when it is asked for, parameters go in and come out, and one engine serves all embeds', async ({ deck }) => {
    const site = await foreignSite({ '/': htmlPage(`${script(deck.site)}<script>addEventListener('expressway-state', (e) => (window.told ??= []).push(e.detail))</script>
      ${element(COMPONENTS, 'runner="wasm" prompt="16" output="8" batch="2"')}${element(COMPONENTS, 'runner="wasm" prompt="32" output="8" hide="callouts,notes"')}`) })
    const page = await deck.open(site, { viewport: { width: 900, height: 1200 } })
    const a = await frameOf(page, 0)
    expect(await a.locator('input[name=batch]').inputValue()).toBe('2')
    await a.getByRole('button', { name: 'Run it on this device' }).click()
    await expect.poll(() => hows(a), { timeout: 90_000 }).toContain('measured')
    const told = () => page.evaluate(() => (window as unknown as { told: { parameters: object; shows: string }[] }).told.at(-1))
    await expect.poll(async () => (await told())?.shows).toBe('here')

    await page.locator('token-expressway').nth(1).scrollIntoViewIfNeeded()
    const b = await frameOf(page, 1)
    expect(await b.locator('.callouts').first().isVisible()).toBe(false)
    await page.locator('token-expressway').nth(1).evaluate((e) => (e as unknown as { start(): void }).start())
    await expect.poll(() => hows(b), { timeout: 60_000 }).toContain('measured')
    const lends = (frame: Frame) => frame.evaluate(() => (window as unknown as { tokenExpresswayEngine?: string }).tokenExpresswayEngine)
    expect([await lends(a), await lends(b)]).toEqual(['wasm 1', undefined])

    // An attribute moves the slide without loading it again, and what it shows is told.
    await b.evaluate(() => Object.assign(window, { stays: true }))
    await page.locator('token-expressway').nth(1).evaluate((e) => e.setAttribute('batch', '3'))
    await expect.poll(() => b.locator('input[name=batch]').inputValue()).toBe('3')
    await expect.poll(async () => (await told())?.parameters).toMatchObject({ prompt: '32', output: '8', batch: '3' })
    expect(await b.evaluate(() => 'stays' in window)).toBe(true)

    // The one that has the engine leaves: the other starts its own.
    await page.locator('token-expressway').nth(0).evaluate((e) => e.remove())
    await b.locator('input[name=batch]').fill('4')
    await expect.poll(() => lends(b), { timeout: 60_000 }).toBe('wasm 1')
    await b.locator('[data-run="done"]').waitFor({ state: 'attached', timeout: 90_000 })
    expect(await hows(b)).toContain('measured')
    expect(deck.trouble.errors).toEqual([])
  })

  test('ten thousand hostile messages move nothing, from a page that is trusted and from one that is not', async ({ deck }) => {
    const frame = (trust: string) => `<iframe src="${deck.site}embed/${COMPONENTS}/${trust}" width="900" height="700"></iframe>`
    const pages = { '/': '', '/trusted': '' }
    const site = await foreignSite(pages)
    pages['/'] = htmlPage(frame(''))
    pages['/trusted'] = htmlPage(frame(`?trust=${encodeURIComponent(site.slice(0, -1))}`))
    for (const path of ['', 'trusted']) {
      const page = await deck.open(new URL(path, site).href, { viewport: { width: 950, height: 900 } })
      const told = await page.evaluate(() => {
        const told: unknown[] = []
        addEventListener('message', (e) => told.push(e.data))
        Object.assign(window, { told })
        return told
      })
      expect(told).toEqual([])
      const inner = page.frames()[1]!
      await inner.locator('section[data-ready="true"]').waitFor({ state: 'attached', timeout: 60_000 })
      // Numbers, settings and words; the replay goes on by itself.
      const standing = () => inner.locator('main').evaluate((main) => [...main.querySelectorAll<HTMLElement>('[data-value], [data-param-value], h1, h2, .callouts p')].map((e) => `${e.dataset['value']} ${e.dataset['paramValue']} ${e.textContent}`))
      const before = await standing()
      expect(before.length).toBeGreaterThan(8)
      await page.evaluate(async () => {
        const target = frames[0]!
        const junk = [null, 0, -1, NaN, '', 'start', 'set', '__proto__', {}, [], [1], { __proto__: null }, 'x'.repeat(10_000), '<img src=x onerror=alert(1)>', 1e308, true]
        const pick = (n: number) => junk[n % junk.length]
        for (let i = 0; i < 10_000; i++) {
          const head = i % 3 === 0 ? { source: 'token-expressway', version: i % 6 === 0 ? 1 : pick(i) } : { source: pick(i), version: pick(i >> 4), method: 'next', args: [] }
          const type = i % 6 === 0 ? ['set', 'size', 'state', pick(i >> 2)][(i / 6) % 4] : pick(i >> 3)
          const parameters = i % 12 === 0 ? { [JSON.stringify(pick(i >> 5)) ?? 'x']: pick(i >> 3), ['__proto__']: 'x', prompt: pick(i >> 4) === '' ? 'x' : {} } : pick(i >> 4)
          const message = i % 7 === 0 ? pick(i) : { ...head, type, parameters, height: pick(i >> 2), slide: pick(i) }
          target.postMessage(message, '*')
          if (i % 500 === 0) await new Promise((resolve) => setTimeout(resolve))
        }
        await new Promise((resolve) => setTimeout(resolve, 300))
      })
      expect(await standing(), path).toEqual(before)
      const heard = await page.evaluate(() => (window as unknown as { told: { type: string }[] }).told.map((m) => m.type))
      // Its height for everybody; what is set on it for those it was told to trust.
      if (path === '') expect(heard).not.toContain('state')
      // What has the right shape moves a slide that trusts the page, and no other.
      await page.evaluate(() => frames[0]!.postMessage({ source: 'token-expressway', version: 1, type: 'set', parameters: { batch: '7', prompt: 'many', nonsense: '1' } }, '*'))
      if (path === 'trusted') await expect.poll(() => inner.locator('input[name=batch]').inputValue()).toBe('7')
      else {
        await page.waitForTimeout(300)
        expect(await inner.locator('input[name=batch]').inputValue()).toBe('1')
      }
    }
    expect(deck.trouble.errors).toEqual([])
  })

  test.for([
    'prompt=-1e999&output=%00&batch=<script>', 'runner=toaster&slow=-1&lens=../../x&theme=neon&hide=*&trust=javascript:alert(1)', '__proto__=1&constructor=2&toString=3', `prompt=${'9'.repeat(5000)}`, 'trust=*&start=never&hide=,,;', '%', 'batch=1e3&batch=2',
  ].map((query) => [query.slice(0, 60), query] as const))('with ?%s the slide stands and says what it used instead', async ([, query], { deck }) => {
    const site = await foreignSite({ '/': htmlPage(`<iframe src="${deck.site}embed/${COMPONENTS}/?${query.replace(/"/g, '&quot;')}" width="900" height="700"></iframe>`) })
    const page = await deck.open(site, { viewport: { width: 950, height: 900 } })
    await page.frames()[1]!.locator('section [data-run="done"]').waitFor({ state: 'attached', timeout: 60_000 })
    expect(deck.trouble.errors).toEqual([])
  })

  test('a script that gets into the frame by other ways is not run', async ({ deck }) => {
    const page = await deck.open(`embed/${COMPONENTS}/`)
    await page.locator('section[data-ready="true"]').waitFor({ state: 'attached' })
    const ran = await page.evaluate(async () => {
      const inline = document.createElement('script')
      inline.textContent = 'window.ran = true'
      const foreign = document.createElement('script')
      foreign.src = 'data:text/javascript,window.ran=true'
      document.body.append(inline, foreign)
      await new Promise((resolve) => setTimeout(resolve, 200))
      return 'ran' in window
    })
    expect(ran).toBe(false)
    expect(deck.trouble.errors.length).toBeGreaterThan(0)
    expect(deck.trouble.errors.filter((text) => !text.includes('Content Security Policy'))).toEqual([])
  })
})

test('without cookies and storage an embed works, its engine too', async ({ deck }) => {
  const profile = mkdtempSync(join(tmpdir(), 'expressway-profile-'))
  mkdirSync(join(profile, 'Default'))
  // "Block all cookies": every storage throws.
  writeFileSync(join(profile, 'Default/Preferences'), JSON.stringify({ profile: { default_content_setting_values: { cookies: 2 } } }))
  const context = await chromium.launchPersistentContext(profile, { executablePath: findChromium(), args: chromiumArgs() })
  try {
    const site = await foreignSite({ '/': htmlPage(script(deck.site) + element(COMPONENTS, 'runner="wasm"')) })
    const page = await context.newPage()
    const errors: string[] = []
    page.on('pageerror', (error) => errors.push(error.message))
    await page.goto(site)
    const frame = await frameOf(page)
    expect(await frame.evaluate(() => { try { return typeof localStorage } catch (error) { return (error as Error).name } })).toBe('SecurityError')
    expect(await hows(frame)).not.toContain('measured')
    await frame.getByRole('button', { name: 'Run it on this device' }).click()
    await expect.poll(() => hows(frame), { timeout: 115_000 }).toContain('measured')
    expect(errors).toEqual([])
  } finally {
    await context.close()
    rmSync(profile, { recursive: true, force: true })
  }
})

test('in a frame without an origin the recording stands', async ({ deck }) => {
  const site = await foreignSite({ '/': htmlPage(`<iframe sandbox="allow-scripts" src="${deck.site}embed/${COMPONENTS}/" width="900" height="900"></iframe>`) })
  const page = await deck.open(site)
  const frame = page.frames()[1]!
  await frame.locator('section[data-ready="true"]').waitFor({ state: 'attached', timeout: 30_000 })
  await frame.getByRole('button', { name: 'Run it on this device' }).click()
  await frame.locator('[data-notice="error"]').waitFor({ timeout: 30_000 })
  expect(await frame.locator('main').innerText()).toContain('Prefill is compute')
})

describe('examples of docs/', () => {
  const example = (name: string, site: string) => readFileSync(`docs/embed/${name}`, 'utf8').replaceAll('https://example.org/latency/', site)
  const drawn = async (page: Page, slide: string) => {
    const frame = await frameOf(page)
    expect(await frame.locator('section').getAttribute('id')).toBe(slide)
    return frame
  }

  test('plain HTML', async ({ deck }) => {
    const page = await deck.open(await foreignSite({ '/': example('plain.html', deck.site), '/favicon.ico': '' }))
    const frame = await drawn(page, '10_batch_size_tradeoff')
    expect(await frame.locator('input[name=batch]').getAttribute('data-param-value')).toBe('16')
    expect(deck.trouble.errors).toEqual([])
  })

  test('Markdown, as markdown-it makes it, which VitePress uses', async ({ deck }) => {
    const [, head, text] = /^---\n([\s\S]*?)\n---\n([\s\S]*)$/.exec(example('vitepress.md', deck.site))!
    const src = /src: (\S+)/.exec(head!)![1]!
    const page = await deck.open(await foreignSite({ '/': htmlPage(`<script type="module" src="${src}"></script>${new MarkdownIt({ html: true }).render(text!)}`) }))
    const frame = await drawn(page, '11_highway_congestion')
    expect(await frame.locator('input[name=load]').getAttribute('data-param-value')).toBe('0.9')
    expect(await frame.locator('details.notes').isVisible()).toBe(false)
    expect(deck.trouble.errors).toEqual([])
  })

  test('MDX', async ({ deck }) => {
    // A runtime that writes HTML, as a server does.
    type Props = Record<string, unknown> & { children?: unknown }
    const jsx = (type: string | ((props: Props) => string) | undefined, { children, ...props }: Props): string => {
      if (typeof type === 'function') return type({ children, ...props })
      const inner = [children].flat(Infinity).filter((c) => c !== undefined && c !== null).join('')
      return type === undefined ? inner : `<${type}${Object.entries(props).map(([name, value]) => ` ${name}="${String(value)}"`).join('')}>${inner}</${type}>`
    }
    const code = await compile(example('example.mdx', deck.site), { outputFormat: 'function-body' })
    const { default: Content } = await run(code, { Fragment: undefined, jsx, jsxs: jsx, baseUrl: import.meta.url } as unknown as Parameters<typeof run>[1])
    const page = await deck.open(await foreignSite({ '/': htmlPage((Content as unknown as (props: object) => string)({})) }))
    const frame = await drawn(page, '10_batch_size_tradeoff')
    expect(await frame.locator('input[name=batch]').getAttribute('data-param-value')).toBe('16')
    expect(deck.trouble.errors).toEqual([])
  })
})

describe('what is built', () => {
  const pageOf = (id: string) => readFileSync(`dist/embed/${id}/index.html`, 'utf8')

  test.each(slides.map((s) => [s.id, s] as const))('%s has a page with its title, its card and its oEmbed', (id, slide) => {
    const html = pageOf(id)
    const meta = (name: string) => new RegExp(`<meta (?:name|property)="${name}" content="([^"]*)"`).exec(html)?.[1]
    expect(meta('og:title')).toBe(slide.headline.replace(/&/g, '&amp;'))
    expect(meta('og:description')!.length).toBeGreaterThan(20)
    const card = readFileSync(resolve(`dist/embed/${id}`, meta('og:image')!))
    expect(card.subarray(0, 3)).toEqual(Buffer.from([0xff, 0xd8, 0xff]))
    const embed = JSON.parse(readFileSync(`dist/embed/${id}/oembed.json`, 'utf8')) as { type: string; version: string; html: string }
    expect(embed).toMatchObject({ type: 'rich', version: '1.0', title: slide.headline, width: 800 })
    expect(embed.html).toContain(`embed/${id}/`)
  })

  test('an embed’s first scripts stay within 120 KB, compressed; embed.js within 4 KB', () => {
    const seen = new Set<string>()
    const add = (file: string) => {
      if (seen.has(file)) return
      seen.add(file)
      for (const [, path] of readFileSync(file, 'utf8').matchAll(/(?:import|from)\s*["'](\.[^"']+\.js)["']/g)) add(resolve(dirname(file), path!))
    }
    for (const [, src] of pageOf(COMPONENTS).matchAll(/<script[^>]* src="([^"]+)"/g)) add(resolve(`dist/embed/${COMPONENTS}`, src!))
    const size = (file: string) => gzipSync(readFileSync(file), { level: 9 }).length
    expect(seen.size).toBeGreaterThan(1)
    expect([...seen].reduce((sum, file) => sum + size(file), 0)).toBeLessThanOrEqual(120 * 1024)
    expect(size('dist/embed.js')).toBeLessThanOrEqual(4 * 1024)
    expect(slides.filter((s) => alive(s.id)).length).toBeGreaterThan(0)
  })
})
