import '$theme/index.css'
import axe from 'axe-core'
import { flushSync, mount, unmount } from 'svelte'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { page, userEvent } from 'vitest/browser'
import { Expressway, scene, type SiteOptions } from '$components/expressway'
import { stageState } from '$components/expressway/three/stage'
import type { Trace } from '$engine/trace/trace'
import { sampleTrace } from '../unit/expressway/sample'
import Moving from './Moving.svelte'

// Small pictures: the software adapter draws every pixel on the processor.
const [WIDTH, HEIGHT] = [480, 270]
const trace = sampleTrace({ requests: 14, every: 25, maxSequences: 6, prompt: [64, 400], output: [30, 120] })
const dealt: Trace = { ...trace, events: trace.events.map((e) => ({ ...e, replica: e.request % 3 })) }

let mounted: ReturnType<typeof mount>[] = []

interface Props {
  trace: Trace | null
  at: number
  drawing: 'webgl' | 'svg'
  layout?: SiteOptions
  labels?: boolean
  follow?: number
  onpick?: (request: number | undefined) => void
}

/** A road on the page, and a way to move its playhead. */
function road(props: Props, style = ''): { element: HTMLElement; move: (at: number) => void; remove: () => Promise<void> } {
  const target = document.createElement('div')
  target.style.cssText = `width:${WIDTH}px;height:${HEIGHT}px;background:var(--ground);${style}`
  document.body.append(target)
  let move = (_at: number) => {}
  const component = mount(Moving, { target, props: { of: Expressway, props, handle: (to: (at: number) => void) => (move = to) } })
  mounted.push(component)
  flushSync()
  return {
    element: target,
    move: (at) => flushSync(() => move(at)),
    remove: async () => {
      mounted = mounted.filter((m) => m !== component)
      await unmount(component)
      target.remove()
    },
  }
}

const frames = async (n = 2) => { for (let i = 0; i < n; i++) await new Promise((resolve) => requestAnimationFrame(resolve)) }
const canvasOf = (element: HTMLElement) => element.querySelector<HTMLCanvasElement>('canvas[data-road=webgl]')
const drawn = (element: HTMLElement) => expect.poll(() => canvasOf(element)?.dataset['cars'], { timeout: 30_000 }).toBeDefined()

/** Share of the canvas that is not clear. */
function painted(canvas: HTMLCanvasElement): number {
  const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height)
  let n = 0
  for (let i = 3; i < data.length; i += 4) if (data[i]! > 200) n++
  return n / (data.length / 4)
}

beforeAll(async () => {
  await page.viewport(1000, 700)
  await document.fonts.load('600 16px "Inter Variable"')
})
beforeEach(() => {
  document.documentElement.dataset['theme'] = 'light'
  document.body.style.margin = '0'
})
afterEach(async () => {
  for (const m of mounted) await unmount(m)
  mounted = []
  document.body.replaceChildren()
  delete document.documentElement.dataset['theme']
})

describe('two drawings of one scene', () => {
  test.each<[string, Trace, SiteOptions | undefined]>([['one road', trace, undefined], ['three replicas', dealt, { roads: 3 }]])('draw the same cars: %s', async (_, of, layout) => {
    const svg = road({ trace: of, at: 0, drawing: 'svg', layout })
    const webgl = road({ trace: of, at: 0, drawing: 'webgl', layout })
    await drawn(webgl.element)
    for (const at of [60, 240, 420]) {
      svg.move(at)
      webgl.move(at)
      await frames(3)
      const expected = scene(of, at, { ...layout, reach: 30 }).cars.filter((car) => car.presence > 0.01).length
      expect(expected).toBeGreaterThan(1)
      expect(svg.element.querySelectorAll('g.car').length).toBe(scene(of, at, layout).cars.length)
      await expect.poll(() => Number(canvasOf(webgl.element)!.dataset['cars'])).toBe(expected)
    }
    // Not a blank one.
    expect(painted(canvasOf(webgl.element)!)).toBeGreaterThan(0.1)
  })

  test('nothing is drawn while nothing changes', async () => {
    const { element, move } = road({ trace, at: 200, drawing: 'webgl' })
    await drawn(element)
    await frames(40)
    const context = canvasOf(element)!.getContext('2d')!
    let copies = 0
    const copy = context.drawImage.bind(context)
    context.drawImage = ((...args: Parameters<typeof copy>) => { copies++; copy(...args) }) as typeof context.drawImage
    await frames(20)
    expect(copies).toBe(0)
    move(210)
    await frames(3)
    expect(copies).toBe(1)
  })
})

describe('the one renderer', () => {
  test('serves every road on the page and goes from slide to slide', async () => {
    const first = road({ trace, at: 200, drawing: 'webgl' })
    await drawn(first.element)
    const { made } = stageState()
    const second = road({ trace: dealt, at: 200, drawing: 'webgl', layout: { roads: 3 } })
    await drawn(second.element)
    expect(stageState()).toMatchObject({ alive: 1, made, users: 2 })
    for (let i = 0; i < 5; i++) {
      const next = road({ trace, at: 100 + i * 40, drawing: 'webgl' })
      await drawn(next.element)
      await next.remove()
    }
    await first.remove()
    // What was drawn stays on a road's own canvas while others are drawn.
    expect(painted(canvasOf(second.element)!)).toBeGreaterThan(0.1)
    expect(stageState()).toMatchObject({ alive: 1, made, users: 1 })
  })

  test('survives the loss of its context: the last picture stays, and drawing goes on when it is back', async () => {
    const { element, move } = road({ trace, at: 60, drawing: 'webgl' })
    await drawn(element)
    const gl = stageState().canvas!.getContext('webgl2')!
    const loss = gl.getExtension('WEBGL_lose_context')!
    const before = canvasOf(element)!.dataset['cars']
    loss.loseContext()
    await expect.poll(() => gl.isContextLost()).toBe(true)
    await frames(2)
    move(420)
    await frames(3)
    expect(canvasOf(element)!.dataset['cars']).toBe(before)
    expect(painted(canvasOf(element)!)).toBeGreaterThan(0.1)
    loss.restoreContext()
    const now = String(scene(trace, 420).cars.filter((car) => car.presence > 0.01).length)
    expect(now).not.toBe(before)
    await expect.poll(() => canvasOf(element)!.dataset['cars'], { timeout: 10_000 }).toBe(now)
    expect(painted(canvasOf(element)!)).toBeGreaterThan(0.1)
    expect(stageState().alive).toBe(1)
  })
})

describe('picking', () => {
  test('a click on a car, on a scaled stage too, shows that request’s own ruler; a second one puts it away', async () => {
    const picks: (number | undefined)[] = []
    const { element } = road({ trace, at: 300, drawing: 'svg', onpick: (request) => picks.push(request) }, 'transform:scale(1.5);transform-origin:0 0')
    await frames(3)
    const car = element.querySelector<SVGGElement>('g.car[data-phase=decode]')!
    const body = car.querySelector('.roof')!.getBoundingClientRect()
    const request = Number(car.dataset['request'])
    const click = () => element.querySelector('[role=listbox]')!.dispatchEvent(new MouseEvent('click', { bubbles: true, clientX: body.left + body.width / 2, clientY: body.top + body.height / 2 }))
    click()
    flushSync()
    expect(picks).toEqual([request])
    expect(element.querySelector<HTMLElement>('[data-ruler]')!.dataset['request']).toBe(String(request))
    click()
    flushSync()
    expect(picks).toEqual([request, undefined])
    expect(element.querySelector('[data-ruler]')).toBeNull()
  })

  test('the keyboard goes from car to car, and Escape leaves; the deck hears none of it', async () => {
    const heard: string[] = []
    const listen = (event: KeyboardEvent) => heard.push(event.key)
    document.addEventListener('keydown', listen)
    const { element } = road({ trace, at: 300, drawing: 'svg' })
    await frames(2)
    const order = scene(trace, 300).cars.map((car) => car.request).sort((a, b) => a - b)
    element.querySelector<HTMLElement>('[role=listbox]')!.focus()
    const shown = () => element.querySelector<HTMLElement>('[data-ruler]')?.dataset['request']
    await userEvent.keyboard('{ArrowRight}')
    expect(shown()).toBe(String(order[0]))
    await userEvent.keyboard('{ArrowRight}')
    expect(shown()).toBe(String(order[1]))
    await userEvent.keyboard('{ArrowLeft}{ArrowLeft}')
    expect(shown()).toBe(String(order.at(-1)))
    const { violations } = await axe.run(element, { resultTypes: ['violations'] })
    expect(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(' | ')}`)).toEqual([])
    expect(element.querySelector('[role=option]')!.textContent).toMatch(new RegExp(`^Request ${order.at(-1)}`))
    await userEvent.keyboard('{Escape}')
    expect(shown()).toBeUndefined()
    expect(heard).toEqual([])
    document.removeEventListener('keydown', listen)
  })
})

describe('pictures', () => {
  // Frozen scenes without words: type differs between machines, geometry does not.
  const cases: [name: string, props: Omit<Props, 'drawing'>, theme: 'light' | 'dark'][] = [
    ['one-road', { trace, at: 300, labels: false, follow: 3 }, 'light'],
    ['dark', { trace, at: 300, labels: false }, 'dark'],
    ['replicas', { trace: dealt, at: 300, layout: { roads: 3 }, labels: false }, 'light'],
    ['empty', { trace: null, at: 0, labels: false, layout: { experts: 8 } }, 'light'],
  ]
  test.each(cases)('%s as SVG is as it was', async (name, props, theme) => {
    document.documentElement.dataset['theme'] = theme
    const { element } = road({ ...props, drawing: 'svg' })
    await frames(4)
    await expect(page.elementLocator(element)).toMatchScreenshot(`svg-${name}`, { comparatorName: 'pixelmatch', comparatorOptions: { threshold: 0.1, allowedMismatchedPixelRatio: 0.004 } })
  })

  test.each(cases.slice(0, 2))('%s in WebGL is much as it was', async (name, props, theme) => {
    document.documentElement.dataset['theme'] = theme
    const { element } = road({ ...props, drawing: 'webgl' })
    await drawn(element)
    await frames(4)
    // Rasterisers differ at edges and in soft shadows.
    await expect(page.elementLocator(element)).toMatchScreenshot(`webgl-${name}`, { comparatorName: 'pixelmatch', comparatorOptions: { threshold: 0.2, allowedMismatchedPixelRatio: 0.03 } })
  })
})
