import type { Page } from 'playwright'
import { describe } from 'vitest'
import { inWorker } from './clockwork'
import { expect, slideReady, test, type Deck } from './harness'

const COMPONENTS = '05_latency_components'
/** The smallest run of slide 05: the software around it is what is tested here, not the machine. */
const SMALL = '5.prompt=16&5.output=8'

interface Shown {
  metric: string
  value: number
  unit: string
  how: string
}

/** Numbers on a slide, as data. */
function numbers(page: Page, id: string): Promise<Shown[]> {
  return page.locator(`section[id="${id}"] [data-value]`).evaluateAll((all) =>
    (all as HTMLElement[]).map((e) => ({ metric: e.dataset['metric']!, value: Number(e.dataset['value']), unit: e.dataset['unit']!, how: e.dataset['how']! })),
  )
}

async function phaseIs(page: Page, id: string, wanted: string): Promise<void> {
  await page.locator(`section[id="${id}"] [data-run="${wanted}"]`).waitFor({ state: 'attached', timeout: 90_000 })
}

/** Counts how often the slide's run starts, from now on. */
async function countRuns(page: Page, id: string): Promise<() => Promise<number>> {
  await page.evaluate((slide) => {
    const frame = document.querySelector(`section[id="${slide}"] [data-run]`) as HTMLElement
    const counts = window as unknown as { runsStarted: number }
    counts.runsStarted = 0
    new MutationObserver(() => { if (frame.dataset['run'] === 'running') counts.runsStarted++ }).observe(frame, { attributeFilter: ['data-run'] })
  }, id)
  return () => page.evaluate(() => (window as unknown as { runsStarted: number }).runsStarted)
}

describe('live slides', () => {
  test.for([
    ['00_cover', ['ttft', 'decode_rate']],
    ['01_what_makes_slow', ['ttft', 'decode_rate', 'e2e', 'largest_share']],
    ['02_latency_metrics', ['p50_ttft', 'decode_rate', 'goodput', 'mean_ttft']],
    ['03_latency_budget', ['decode_rate', 'part_tokenize']],
    ['04_tradeoffs', ['decode_rate', 'bits_per_byte', 'gpu_seconds_per_1k', 'cost_per_1k', 'tpot']],
    [COMPONENTS, ['ttft', 'decode_rate', 'tpot', 'prefill_ms', 'exchange_rate']],
    ['06_model_size', ['tpot', 'decode_rate', 'step_bytes', 'mbu']],
    ['07_output_dominates', ['ttft', 'decode_rate', 'e2e', 'decode_share']],
    ['08_context_length_kv_growth', ['tpot', 'decode_rate', 'kv_bytes', 'kv_share', 'crossover']],
    ['13_long_requests_cost', ['max_ttft', 'ttft_long', 'max_itl']],
    ['15_smaller_models', ['tpot', 'ttft', 'bits_per_byte', 'tpot_speedup', 'escalation_rate', 'answer_ms', 'router_ms']],
    ['16_moe_sparsity', ['decode_rate', 'experts_read', 'speedup', 'bytes_saved', 'flops_saved', 'step_bytes', 'weight_bytes']],
    ['19_kv_cache', ['max_itl']],
    ['18_quantization', ['tpot', 'weight_bytes', 'speedup', 'smaller']],
    ['21_new_hardware', ['ttft', 'decode_rate', 'tpot']],
  ] as const)('%s draws measured quantities with their provenance, without an error', async ([id, metrics], { deck }) => {
    const page = await deck.open(`?${SMALL}&1.burst=4&6.size=6&7.input=16&7.output=8&2.requests=20&13.long_length=512#/${id}`)
    await slideReady(page, id, 90_000)
    await phaseIs(page, id, 'done')
    const shown = await numbers(page, id)
    // Measured here; the same metric may stand there once more for the other lens.
    const here = shown.filter((n) => n.how === 'measured')
    for (const metric of metrics) expect(here.map((n) => n.metric), id).toContain(metric)
    for (const n of shown) {
      expect(Number.isFinite(n.value), n.metric).toBe(true)
      expect(n.how, n.metric).toMatch(/^(measured|simulated|modelled|recorded|published)$/)
    }
    for (const n of here) if ((metrics as readonly string[]).includes(n.metric)) expect(n.value, n.metric).toBeGreaterThan(0)
    // What stands behind a number opens with it.
    const number = page.locator(`section[id="${id}"] [data-metric="${metrics[0]}"]`).first()
    await number.press('Enter')
    expect(await page.locator('[popover]:popover-open').innerText()).toMatch(/Measured .* on /)
    expect(deck.trouble).toEqual({ errors: [], strangers: [] })
  })

  test('numbers of one request obey E2E = TTFT + TPOT · (N − 1), as the slide’s own formula says', async ({ deck }) => {
    const page = await deck.open(`?2.requests=20#/02_latency_metrics`)
    await phaseIs(page, '02_latency_metrics', 'done')
    const section = page.locator('section[id="02_latency_metrics"] dl')
    const value = async (metric: string) => Number(await section.locator(`[data-metric="${metric}"]`).getAttribute('data-value'))
    const [ttft, tpot, e2e, rate] = [await value('ttft'), await value('tpot'), await value('e2e'), await value('decode_rate')]
    const gaps = (e2e - ttft) / tpot
    expect(Math.abs(gaps - Math.round(gaps))).toBeLessThan(1e-6)
    expect(Math.round(gaps)).toBeGreaterThanOrEqual(1)
    expect(rate).toBeCloseTo(1000 / tpot, 6)
  })
})

test.for(['wasm', 'reference', 'webgpu'])('?runner=%s runs, says so, and its numbers say so too', async (runner, { deck }) => {
  const page = await deck.open(`?runner=${runner}#/00_cover`)
  await slideReady(page, '00_cover', 115_000)
  const notice = await page.locator('section[id="00_cover"] [data-notice]').allInnerTexts()
  const used = await page.locator('section[id="00_cover"] [data-runner]').getAttribute('data-runner')
  // A machine without an adapter is allowed to say that it has none; nothing else is.
  if (runner === 'webgpu' && used !== 'webgpu') expect(notice.join(' ')).toMatch(/webgpu|WebGPU/)
  else expect({ used, notice }).toEqual({ used: runner, notice: [] })
  expect(deck.trouble.errors).toEqual([])
})

test('a slider moved fifty times in a second starts a few runs at most, and what is drawn belongs to where it stopped', async ({ deck }) => {
  const page = await deck.open(`?${SMALL}#/${COMPONENTS}`)
  await phaseIs(page, COMPONENTS, 'done')
  const runs = await countRuns(page, COMPONENTS)
  const stale = await page.evaluate(async (id) => {
    const section = document.querySelector(`section[id="${id}"]`)!
    const slider = section.querySelector('input[name=batch]') as HTMLInputElement
    let seen = 0
    for (let i = 0; i < 50; i++) {
      slider.value = String(1 + (i % 7) + 1)
      slider.dispatchEvent(new Event('input', { bubbles: true }))
      await new Promise((resolve) => setTimeout(resolve, 20))
      seen += section.querySelectorAll('[data-value]').length
    }
    slider.value = '3'
    slider.dispatchEvent(new Event('input', { bubbles: true }))
    return seen
  }, COMPONENTS)
  // From the first move on no number of the old run was on screen.
  expect(stale).toBe(0)
  await phaseIs(page, COMPONENTS, 'done')
  expect(await runs()).toBeLessThanOrEqual(5)
  await page.locator(`section[id="${COMPONENTS}"] [data-metric=prefill_ms]`).press('Enter')
  expect(await page.locator('[popover]:popover-open').innerText()).toContain('3 requests')
})

test('leaving a finished slide and coming back starts nothing', async ({ deck }) => {
  const page = await deck.open(`?${SMALL}#/${COMPONENTS}`)
  await phaseIs(page, COMPONENTS, 'done')
  const before = await numbers(page, COMPONENTS)
  const runs = await countRuns(page, COMPONENTS)
  await page.keyboard.press('PageDown')
  await page.waitForFunction(() => document.querySelector('.slides > section.present')?.id === '06_model_size')
  await page.keyboard.press('PageUp')
  await page.waitForFunction((id) => document.querySelector('.slides > section.present')?.id === id, COMPONENTS)
  await page.waitForTimeout(500)
  expect(await runs()).toBe(0)
  expect(await numbers(page, COMPONENTS)).toEqual(before)
})

test('a hidden tab measures nothing: the run is dropped and made anew when the tab is shown', async ({ deck }) => {
  const page = await deck.open(`?5.prompt=16&5.output=512#/${COMPONENTS}`)
  await phaseIs(page, COMPONENTS, 'running')
  const visibility = (state: 'hidden' | 'visible') =>
    page.evaluate((value) => {
      Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => value })
      document.dispatchEvent(new Event('visibilitychange'))
    }, state)
  await visibility('hidden')
  await phaseIs(page, COMPONENTS, 'idle')
  expect(await numbers(page, COMPONENTS)).toEqual([])
  await visibility('visible')
  await phaseIs(page, COMPONENTS, 'running')
  expect(deck.trouble.errors).toEqual([])
})

describe('bad luck', () => {
  /** The engine's own worker; its helpers for threads are workers too. */
  const crash = async (page: Page) => {
    const worker = page.workers().find((w) => /\/worker-/.test(w.url()))!
    await worker.evaluate(() => void setTimeout(() => { throw new Error('broken on purpose') }))
  }

  test('the worker crashes in the middle of a run: it is started again, the slide measured anew, and both said', async ({ deck }) => {
    // Long enough to be hit in the middle on a quick machine as well.
    const page = await deck.open(`?5.prompt=16&5.output=512&5.batch=4#/${COMPONENTS}`)
    await phaseIs(page, COMPONENTS, 'running')
    await page.waitForFunction((id) => document.querySelectorAll(`section[id="${id}"] [data-stage=decode], section[id="${id}"] .token`).length > 0, COMPONENTS, { timeout: 90_000 })
    await crash(page)
    await page.locator(`section[id="${COMPONENTS}"] [data-notice]`).waitFor({ timeout: 90_000 })
    expect(await page.locator(`section[id="${COMPONENTS}"] [data-notice]`).innerText()).toMatch(/broken on purpose.*started again/s)
    await phaseIs(page, COMPONENTS, 'done')
    expect((await numbers(page, COMPONENTS)).length).toBeGreaterThan(3)
  })

  test('the worker crashes while nothing runs: the next run works', async ({ deck }) => {
    const page = await deck.open(`?${SMALL}#/${COMPONENTS}`)
    await phaseIs(page, COMPONENTS, 'done')
    await crash(page)
    await page.waitForTimeout(200)
    await page.locator(`section[id="${COMPONENTS}"] input[name=batch]`).focus()
    await page.keyboard.press('ArrowRight')
    await page.locator(`section[id="${COMPONENTS}"] [data-run=settling], section[id="${COMPONENTS}"] [data-run=running]`).waitFor({ state: 'attached' })
    await phaseIs(page, COMPONENTS, 'done')
    expect((await numbers(page, COMPONENTS)).length).toBeGreaterThan(3)
  })

  /** Puts `before` into the engine's worker and starts slide `id` over with it. */
  const openWith = async (deck: Deck, before: () => void, query: string, id: string): Promise<Page> => {
    const page = await deck.open(`?${query}#/22_playbook`)
    await inWorker(page.context(), before)
    await page.goto(new URL(`?${query}&x#/${id}`, deck.site).href)
    return page
  }

  test('the graphics device is lost in the middle of a run: what happened and what runs instead is said, and the slide measured anew', async ({ deck }) => {
    const keepDevices = () => {
      const { requestDevice } = GPUAdapter.prototype
      const devices: GPUDevice[] = []
      Object.assign(globalThis, { devices })
      GPUAdapter.prototype.requestDevice = async function (this: GPUAdapter, ...wanted) {
        const device = await requestDevice.apply(this, wanted)
        devices.push(device)
        return device
      }
    }
    const page = await openWith(deck, keepDevices, 'runner=webgpu', '00_cover')
    const cover = page.locator('section[id="00_cover"]')
    await cover.locator('[data-pill=decode]').first().waitFor({ timeout: 110_000 })
    const used = await cover.locator('[data-runner]').getAttribute('data-runner')
    if (used !== 'webgpu') return console.warn(`no WebGPU adapter here: no device was lost, ${used} ran`)
    const worker = page.workers().find((w) => /\/worker-/.test(w.url()))!
    // The calibration's devices are gone by now: the last one is the run's.
    await worker.evaluate(() => (globalThis as unknown as { devices: GPUDevice[] }).devices.at(-1)!.destroy())
    const notice = cover.locator('[data-notice]', { hasText: 'taken away' })
    await notice.waitFor({ timeout: 100_000 })
    expect(await notice.innerText()).toMatch(/graphics card was taken away while tales-.* ran on it.*measured anew/s)
    await phaseIs(page, '00_cover', 'done')
    expect((await numbers(page, '00_cover')).length).toBeGreaterThan(2)
  }, 240_000)

  test('a kernel traps in the middle of a run: the engine starts afresh, says so, and the slide is measured anew', async ({ deck }) => {
    const trapOnDemand = () => {
      const { instantiate } = WebAssembly
      type Instance = { exports: Record<string, unknown> }
      const trapping = ({ exports }: Instance): Instance => ({
        exports: Object.fromEntries(Object.entries(exports).map(([name, value]) => [name, typeof value !== 'function' ? value : (...args: unknown[]): unknown => {
          const demand = globalThis as { trap?: boolean }
          if (demand.trap) {
            demand.trap = false
            throw new WebAssembly.RuntimeError('unreachable')
          }
          return (value as (...args: unknown[]) => unknown)(...args)
        }])),
      })
      Object.assign(WebAssembly, {
        async instantiate(source: never, imports: never) {
          const result = (await instantiate(source, imports)) as unknown as Instance | { instance: Instance; module: unknown }
          return 'instance' in result ? { ...result, instance: trapping(result.instance) } : trapping(result)
        },
      })
    }
    const page = await openWith(deck, trapOnDemand, 'runner=wasm&5.prompt=16&5.output=512&5.batch=2', COMPONENTS)
    await phaseIs(page, COMPONENTS, 'running')
    await page.waitForFunction((id) => document.querySelectorAll(`section[id="${id}"] [data-stage=decode]`).length > 0, COMPONENTS, { timeout: 90_000 })
    const worker = page.workers().find((w) => /\/worker-/.test(w.url()))!
    await worker.evaluate(() => { (globalThis as { trap?: boolean }).trap = true })
    const notice = page.locator(`section[id="${COMPONENTS}"] [data-notice]`, { hasText: 'trapped' })
    await notice.waitFor({ timeout: 90_000 })
    expect(await notice.innerText()).toMatch(/kernels trapped \(unreachable\).*starts afresh.*measured anew/s)
    await phaseIs(page, COMPONENTS, 'done')
    expect((await numbers(page, COMPONENTS)).length).toBeGreaterThan(3)
  })

  test('memory for the timing model is not given: the slide says how much it wanted, shows no number, and the deck goes on', async ({ deck }) => {
    const noLargeMemory = () => {
      const { Memory } = WebAssembly
      const MOST_PAGES = 1024 // 64 MiB
      Object.assign(WebAssembly, {
        Memory: function (this: unknown, wanted: WebAssembly.MemoryDescriptor) {
          if (wanted.initial > MOST_PAGES) throw new RangeError('could not allocate memory')
          return new Memory(wanted)
        },
      })
    }
    const page = await openWith(deck, noLargeMemory, `runner=wasm&${SMALL}`, COMPONENTS)
    const notice = page.locator(`section[id="${COMPONENTS}"] [data-notice=error]`)
    await notice.waitFor({ timeout: 100_000 })
    expect(await notice.innerText()).toMatch(/timing-.* needs \d+ MB, which this device did not give/)
    expect(await numbers(page, COMPONENTS)).toEqual([])
    await page.keyboard.press('PageDown')
    await page.waitForFunction(() => document.querySelector('.slides > section.present')?.id === '06_model_size')
  })

  test('the model is missing: the slide says which file, offers another try, and the rest of the deck works', async ({ deck }) => {
    const page = await deck.open(`?${SMALL}#/22_playbook`)
    await page.context().route('**/assets/models/**', (route) => route.fulfill({ status: 404, body: 'gone' }))
    await page.goto(new URL(`?${SMALL}#/02_latency_metrics`, deck.site).href)
    await page.reload()
    const notice = page.locator('section[id="02_latency_metrics"] [data-notice=error]')
    await notice.waitFor({ timeout: 90_000 })
    expect(await notice.innerText()).toMatch(/tales-.*\.(json|safetensors)/)
    expect(await numbers(page, '02_latency_metrics')).toEqual([])
    await page.keyboard.press('PageDown')
    await page.waitForFunction(() => document.querySelector('.slides > section.present')?.id === '03_latency_budget')

    await page.keyboard.press('PageUp')
    await notice.waitFor({ timeout: 90_000 })
    await page.context().unroute('**/assets/models/**')
    await notice.getByRole('button', { name: 'Try again' }).click()
    await slideReady(page, '02_latency_metrics', 90_000)
    expect(await notice.count()).toBe(0)
  })

  test('no worker at all: the slide says that nothing runs, and the deck still turns its pages', async ({ deck }) => {
    const page = await deck.open('#/22_playbook')
    await page.addInitScript(() => { (window as { Worker?: unknown }).Worker = class { constructor() { throw new Error('workers are switched off here') } } })
    await page.goto(new URL(`?x#/${COMPONENTS}`, deck.site).href)
    await page.locator(`section[id="${COMPONENTS}"] [data-notice=error]`).waitFor()
    expect(await page.locator(`section[id="${COMPONENTS}"] [data-notice=error]`).innerText()).toContain('workers are switched off here')
    await page.keyboard.press('PageDown')
    await page.waitForFunction(() => document.querySelector('.slides > section.present')?.id === '06_model_size')
  })
})

/*
 * A long task depends on what else the machine does, so their number is told and not judged. What is
 * judged is the longest wait for a frame: most of this run is one step over the whole prompt, and an
 * engine on the page's own thread would let no frame through for all of it, however quick the machine.
 */
test('the page stays free while the engine generates', async ({ deck }) => {
  const page = await deck.open(`?5.prompt=512&5.output=8#/${COMPONENTS}`)
  await phaseIs(page, COMPONENTS, 'done')
  await page.evaluate(() => {
    const log = { longTasks: [] as number[], frames: 0, longest: 0, spent: 0 }
    Object.assign(window, { log })
    new PerformanceObserver((list) => log.longTasks.push(...list.getEntries().map((e) => e.duration))).observe({ type: 'longtask' })
    let last: number | undefined
    const frame = (now: number) => {
      if (document.querySelector('section.present [data-run="running"]')) {
        if (last !== undefined) {
          log.frames++
          log.spent += now - last
          log.longest = Math.max(log.longest, now - last)
        }
        last = now
      }
      requestAnimationFrame(frame)
    }
    requestAnimationFrame(frame)
  })
  // A second run on an engine that is open and warm: what is timed is the run itself.
  await page.locator(`section[id="${COMPONENTS}"] input[name=batch]`).press('ArrowRight')
  await phaseIs(page, COMPONENTS, 'done')
  const log = await page.evaluate(() => (window as unknown as { log: { longTasks: number[]; frames: number; longest: number; spent: number } }).log)
  const ms = Math.round
  console.info(`while generating: ${log.frames} frames in ${ms(log.spent)} ms, at most ${ms(log.longest)} ms apart; ${log.longTasks.length} long tasks, the longest ${ms(Math.max(0, ...log.longTasks))} ms`)
  expect(log.frames).toBeGreaterThan(2)
  expect(log.longest).toBeLessThan(log.spent / 2)
})
