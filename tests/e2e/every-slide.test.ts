import type { BrowserContext, Page } from 'playwright'
import { afterAll, beforeAll, describe, inject } from 'vitest'
import { encode, encodeValue, type Named, type Params, type Values } from '$components/controls/params'
import { browser, expect, test, WIDE } from './harness'
import { slim } from './settings'
import { LIVE, numberOf } from './slides'

/*
 * Every slide that runs something, found by its experiment: what holds for all of them. One browser, one page for each
 * pass, so that a slide costs its own run and nothing else. What a slide alone claims is in tests of its own.
 */

/** A run goes on making its bands narrower for minutes: after this it is looked at as it stands. */
const LONG_ENOUGH_MS = 4_000
const SLIDE_MS = 90_000

const IDS = LIVE.map((s) => s.id)
const slide = (id: string) => LIVE.find((s) => s.id === id)!

interface Shown {
  metric: string
  value: number
  how: string
}

/** One page through all slides, and what went wrong on it. */
class Visit {
  readonly errors: string[] = []
  private constructor(readonly context: BrowserContext, readonly page: Page) {
    page.on('pageerror', (error) => this.errors.push(error.message))
    page.on('console', (message) => { if (message.type() === 'error') this.errors.push(message.text()) })
  }

  static async begin(query: string, before: (context: BrowserContext) => Promise<unknown> = () => Promise.resolve()): Promise<Visit> {
    const context = await (await browser()).newContext({ viewport: WIDE, storageState: inject('visitor') || undefined })
    await before(context)
    const visit = new Visit(context, await context.newPage())
    await visit.page.goto(new URL(`?${query}#/${LIVE.at(-1)!.id}`, inject('site')).href)
    return visit
  }

  section = (id: string) => this.page.locator(`section[id="${id}"]`)

  /** Goes to a slide and waits for its first reading. */
  async see(id: string): Promise<void> {
    await this.page.evaluate((to) => { location.hash = `#/${to}` }, id)
    await this.page.locator(`section[id="${id}"].present[data-ready="true"]`).waitFor({ state: 'attached', timeout: SLIDE_MS })
  }

  phase = (id: string) => this.section(id).locator('[data-run]').first().getAttribute('data-run')

  /** Waits for the end of a run, or for as long as it is worth. */
  async rest(id: string): Promise<string | null> {
    await this.section(id).locator('[data-run="done"], [data-run="failed"]').first().waitFor({ state: 'attached', timeout: LONG_ENOUGH_MS }).catch(() => undefined)
    return this.phase(id)
  }

  numbers(id: string): Promise<Shown[]> {
    return this.section(id).locator('[data-value]').evaluateAll((all) => (all as HTMLElement[]).map((e) => ({ metric: e.dataset['metric']!, value: Number(e.dataset['value']), how: e.dataset['how']! })))
  }

  /** What is drawn in the hero, as far as it can be compared: shapes and words. */
  drawn(id: string): Promise<string> {
    return this.section(id).locator('.hero').first().evaluate((hero) => [
      ...[...hero.querySelectorAll('svg path, svg rect, svg circle, svg text')].map((e) => `${e.getAttribute('d') ?? ''}${e.getAttribute('width') ?? ''}${e.getAttribute('cx') ?? ''}${e.textContent}`),
      hero.textContent,
    ].join('|'))
  }

  /** Some controls wait for another to be set: puts the slide back, then tries what the others can be. */
  async enable(id: string, params: Params, name: string): Promise<void> {
    const control = this.section(id).locator(`[name="${name}"]`).first()
    const movable = async () => (await control.count()) > 0 && (await control.isEnabled())
    if (await movable()) return
    const ways = Object.values(params).flatMap((p) => (p.kind === 'number' || p.name === name ? [] : p.kind === 'choice' ? p.options.map((o) => `label:has([name="${p.name}"][value="${o.value}"])`) : [`[name="${p.name}"]`]))
    for (const way of [undefined, ...ways]) {
      const button = way ? this.section(id).locator(way).first() : this.section(id).getByRole('button', { name: 'Reset', exact: true })
      if ((await button.count()) === 0) continue
      await button.click()
      await this.page.waitForTimeout(100)
      if (await movable()) return
    }
    throw new Error(`${id}: there is no control named ${name}, whatever the others are set to`)
  }

  end = () => this.context.close()
}

function expectKnown(shown: readonly Shown[], id: string): void {
  expect(shown.length, id).toBeGreaterThan(0)
  for (const n of shown) {
    expect(Number.isFinite(n.value), `${id}: ${n.metric}`).toBe(true)
    expect(n.how, `${id}: ${n.metric}`).toMatch(/^(measured|simulated|modelled|recorded|published)$/)
  }
}

/** Another value of a parameter, in the middle of its range or at its lower end. */
function another(p: Named, now: string): { text: string; position?: number } {
  if (p.kind === 'choice') return { text: p.options.find((o) => o.value !== now)!.value }
  if (p.kind === 'toggle') return { text: now === 'on' ? 'off' : 'on' }
  const { min, max, step } = p.positions
  const middle = min + Math.round((max - min) / 2 / step) * step
  const position = Math.abs(p.toPosition(Number(now)) - middle) > (max - min) / 5 ? middle : min
  return { text: String(p.fromPosition(position)), position }
}

describe('through a datacentre’s lens, where nothing depends on this machine', () => {
  let visit: Visit
  beforeAll(async () => { visit = await Visit.begin('lens=h100-sxm/llama-3.1-8b&runner=wasm') })
  afterAll(() => visit?.end())

  test.for(IDS)('%s: first reading, every number with its provenance; each control moves figures; reset puts all back', { timeout: 2 * SLIDE_MS }, async (id) => {
    const { params } = slide(id)
    visit.errors.length = 0
    await visit.see(id)
    expectKnown(await visit.numbers(id), id)

    for (const p of Object.values(params)) {
      const control = visit.section(id).locator(`[name="${p.name}"]`)
      await visit.enable(id, params, p.name)
      const now = (await control.first().getAttribute('data-param-value'))!
      const look = async () => JSON.stringify([await visit.numbers(id), await visit.drawn(id)])
      const was = await look()
      const { text, position } = another(p, now)
      if (p.kind === 'choice' && (await control.first().evaluate((e) => e instanceof HTMLSelectElement))) await control.selectOption(text)
      else if (p.kind === 'choice') await visit.section(id).locator(`label:has([name="${p.name}"][value="${text}"])`).click()
      else if (p.kind === 'toggle') await control.first().click()
      else await control.first().fill(String(position))
      await expect.poll(() => control.first().getAttribute('data-param-value'), { message: `${id}: ${p.name} was ${now}` }).toBe(text)
      await expect.poll(look, { timeout: 20_000, message: `${id}: figures follow ${p.name} from ${now} to ${text}` }).not.toBe(was)
      await expect.poll(async () => (await visit.numbers(id)).length, { timeout: 30_000, message: `${id}: figures are there again after ${p.name}` }).toBeGreaterThan(0)
    }
    expectKnown(await visit.numbers(id), id)
    expect(await visit.phase(id), id).not.toBe('failed')

    if (Object.keys(params).length > 0) {
      // What was set stands in the address, and nothing else of this slide's.
      const standing = () => visit.section(id).locator('[data-param-value]').evaluateAll((all) => Object.fromEntries((all as HTMLInputElement[]).map((e) => [e.name, e.dataset['paramValue']!])))
      const written = await standing()
      // A control that is not shown under what is chosen stands where it was.
      const wanted = Object.fromEntries(Object.entries(encode(params, valuesOf(params, written))).filter(([name]) => name in written))
      await expect.poll(() => visit.page.evaluate((n) => Object.fromEntries([...new URLSearchParams(location.search)].flatMap(([k, v]) => (k.startsWith(`${n}.`) ? [[k.slice(String(n).length + 1), v]] : []))), numberOf(id)), { message: id }).toMatchObject(wanted)
      await visit.section(id).getByRole('button', { name: 'Reset', exact: true }).click()
      await expect.poll(() => visit.page.evaluate((n) => [...new URLSearchParams(location.search).keys()].some((key) => key.startsWith(`${n}.`)), numberOf(id)), { message: id }).toBe(false)
      for (const [name, text] of Object.entries(await standing())) if (params[name]) expect(text, `${id}: ${name}`).toBe(encodeValue(params[name].default))
    }
    expect(visit.errors, id).toEqual([])
  })

  test('a workload chosen on one slide is carried on to those that share it, and stays there when the first is put back', async () => {
    const sharing = LIVE.filter((s) => s.params['preset']?.shared)
    const [first, second] = sharing
    await visit.see(first!.id)
    await visit.section(first!.id).locator('label:has([name="preset"][value="rag"])').click()
    await expect.poll(() => visit.page.evaluate(() => location.search)).toContain('14.preset=rag&22.preset=rag')
    if (second) {
      await visit.see(second.id)
      expect(await visit.section(second.id).locator('[name="preset"]').first().getAttribute('data-param-value')).toBe('rag')
    }
    await visit.see(first!.id)
    await visit.section(first!.id).getByRole('button', { name: 'Reset', exact: true }).click()
    await expect.poll(() => visit.page.evaluate(() => location.search)).not.toContain('3.preset')
    expect(await visit.page.evaluate(() => location.search)).toContain('14.preset=rag')
  })
})

/** Values as their controls have them. */
function valuesOf(params: Params, texts: Readonly<Record<string, string>>): Values<Params> {
  return Object.fromEntries(Object.entries(params).map(([name, p]) => [name, p.kind === 'number' ? Number(texts[name]) : p.kind === 'toggle' ? texts[name] === 'on' : texts[name]!])) as Values<Params>
}

describe.for([['wasm', 'live on this device'], ['reference', 'on the runner that reads like the paper']] as const)('?runner=%s, %s', ([runner]) => {
  let visit: Visit
  const seen: { id: string; numbers: Shown[] }[] = []
  beforeAll(async () => { visit = await Visit.begin(`runner=${runner}&${slim(LIVE)}`) })
  afterAll(() => visit?.end())

  test.for(IDS)('%s draws a reading without an error; the slide before has kept its own and starts nothing', { timeout: 2 * SLIDE_MS }, async (id) => {
    visit.errors.length = 0
    await visit.see(id)
    expectKnown(await visit.numbers(id), id)
    // The slow runner's first reading is what it is asked for here.
    const phase = runner === 'reference' ? await visit.phase(id) : await visit.rest(id)
    expect(phase, id).not.toBe('failed')
    const shown = await visit.numbers(id)
    expectKnown(shown, id)
    expect(await visit.section(id).locator('[data-notice=error]').allInnerTexts(), id).toEqual([])
    const before = seen.at(-1)
    if (before) {
      await visit.see(before.id)
      expect(await visit.phase(before.id), before.id).toBe('done')
      // What the other lens says may come later; what was measured here stays.
      expect(await visit.numbers(before.id), before.id).toEqual(expect.arrayContaining(before.numbers.filter((n) => n.how === 'measured')))
    }
    if (phase === 'done') seen.push({ id, numbers: shown })
    expect(visit.errors, id).toEqual([])
  })

  test('the runner that was asked for is the one that ran', async () => {
    await visit.see('00_cover')
    expect(await visit.section('00_cover').locator('[data-runner]').getAttribute('data-runner')).toBe(runner)
  })
})

/*
 * Turning pages is what a deck is for. Counted are what a page can leave behind: memory, workers, and WebGL contexts,
 * of which a browser gives a page sixteen.
 */
test('300 slide changes in a row leave heap, workers and WebGL contexts where they were', { timeout: 3 * SLIDE_MS }, async () => {
  const visit = await Visit.begin(`runner=wasm&road=webgl&${slim(LIVE)}`, (context) => context.addInitScript(() => {
    const { getContext } = HTMLCanvasElement.prototype
    const made: WeakRef<WebGL2RenderingContext>[] = []
    Object.assign(window, { contexts: () => made.filter((ref) => { const gl = ref.deref(); return gl !== undefined && !gl.isContextLost() }).length })
    HTMLCanvasElement.prototype.getContext = function (this: HTMLCanvasElement, ...wanted: unknown[]) {
      const context: unknown = Reflect.apply(getContext, this, wanted)
      if (context instanceof WebGL2RenderingContext && !made.some((ref) => ref.deref() === context)) made.push(new WeakRef(context))
      return context as never
    } as typeof getContext
  }))
  const { page } = visit
  const session = await visit.context.newCDPSession(page)
  const turn = async (times: number, pause: number) => page.evaluate(async ({ ids, n, ms }) => {
    for (let i = 0; i < n; i++) {
      location.hash = `#/${ids[i % ids.length]!}`
      await new Promise((resolve) => setTimeout(resolve, ms))
    }
  }, { ids: IDS, n: times, ms: pause })
  const held = async () => {
    // Where nothing runs on: what is under way has ended.
    await visit.see('05_latency_components')
    await visit.rest('05_latency_components')
    await page.waitForTimeout(1500)
    await session.send('HeapProfiler.collectGarbage')
    const { usedSize } = await session.send('Runtime.getHeapUsage')
    return { heap: usedSize / 2 ** 20, workers: page.workers().length, contexts: await page.evaluate(() => (window as unknown as { contexts(): number }).contexts()) }
  }
  // Every slide is built once and stays; what comes after that is nobody's first visit.
  await turn(IDS.length, 300)
  const before = await held()
  await turn(300, 30)
  const after = await held()
  console.info(`300 slide changes: heap ${before.heap.toFixed(1)} to ${after.heap.toFixed(1)} MiB, workers ${before.workers} to ${after.workers}, WebGL contexts ${before.contexts} to ${after.contexts}`)
  expect(after.workers).toBe(before.workers)
  expect(after.contexts).toBe(before.contexts)
  expect(after.contexts).toBeLessThan(16)
  expect(after.heap).toBeLessThan(before.heap * 1.15 + 4)
  expect(visit.errors).toEqual([])
  await visit.end()
})
