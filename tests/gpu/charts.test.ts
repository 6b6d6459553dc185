import '$theme/index.css'
import { flushSync, mount, unmount, type Component, type ComponentProps } from 'svelte'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { page, userEvent } from 'vitest/browser'
import LineChart from '$components/charts/LineChart.svelte'
import Scatter from '$components/charts/Scatter.svelte'
import { Guess } from '$components/charts/guess.svelte'
import { standaloneSvg } from '$components/charts/copy'
import FileDrop from '$components/controls/FileDrop.svelte'
import Gallery from '$components/gallery/Gallery.svelte'
import { sampleQuantity } from '$components/gallery/samples'
import Callout from '$components/motif/Callout.svelte'
import HeaderTag from '$components/motif/HeaderTag.svelte'

let mounted: ReturnType<typeof mount>[] = []

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- any component: its props are inferred from it
function show<C extends Component<any, object, string>>(component: C, props: ComponentProps<C>, style = ''): HTMLElement {
  const target = document.createElement('div')
  target.style.cssText = style
  document.body.append(target)
  mounted.push(mount(component as Component, { target, props }))
  flushSync()
  return target
}
const settled = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))

beforeAll(async () => {
  await page.viewport(1200, 700)
  await Promise.all([document.fonts.load('600 16px "Inter Variable"'), document.fonts.load('500 17px "JetBrains Mono Variable"')])
})
afterEach(async () => {
  for (const m of mounted) await unmount(m)
  mounted = []
  document.body.replaceChildren()
  delete document.documentElement.dataset['layout']
})

const series = [
  { label: 'p99, simulated', tone: 'queue' as const, how: 'simulated' as const, points: [10, 50, 90].map((x) => ({ x, y: x * 10 })) },
  { label: 'live', tone: 'queue' as const, how: 'measured' as const, points: [{ x: 50, y: 520 }] },
]
const chart = { title: 'Wait', x: { label: 'load', unit: '%' as const }, y: { label: 'TTFT', unit: 'ms' as const }, series }

// Half of a hero, and a phone.
test.each([
  [1200, 'stage'],
  [390, 'page'],
])('in the gallery at %d px no two texts of a chart touch, and none leaves it', async (width, layout) => {
  await page.viewport(width, 700)
  document.documentElement.dataset['layout'] = layout
  show(Gallery, {})
  await settled()
  await settled()
  const faults: string[] = []
  for (const figure of document.querySelectorAll<HTMLElement>('figure.chart, .budget')) {
    const frame = figure.getBoundingClientRect()
    const texts = [...figure.querySelectorAll('svg text')].flatMap((t) => {
      const box = t.getBoundingClientRect()
      // Along a slope the box says nothing.
      return t.textContent && box.width > 0 && !/rotate/.test(t.getAttribute('transform') ?? '') ? [{ text: t.textContent, box }] : []
    })
    const title = figure.querySelector('figcaption')?.textContent ?? 'budget'
    for (const [i, { text, box }] of texts.entries()) {
      if (box.left < frame.left - 2 || box.right > frame.right + 2) faults.push(`${title}: "${text}" leaves the chart`)
      for (const b of texts.slice(i + 1)) {
        // A line of type is taller than its letters: 4 px of leading above and below.
        const apart = box.right <= b.box.left + 1 || b.box.right <= box.left + 1 || box.bottom <= b.box.top + 8 || b.box.bottom <= box.top + 8
        if (!apart) faults.push(`${title}: "${text}" and "${b.text}"`)
      }
    }
  }
  await page.viewport(1200, 700)
  expect(faults).toEqual([])
})

describe('the crosshair', () => {
  test('goes by keys from place to place and says what stands there', async () => {
    const target = show(LineChart, chart, 'width:600px;height:320px')
    await settled()
    const reader = target.querySelector<HTMLElement>('.reader')!
    reader.focus()
    await userEvent.keyboard('{ArrowRight}{ArrowRight}')
    expect(reader.getAttribute('aria-valuetext')).toMatch(/^load 50\.0\s?%: p99, simulated 500\s?ms, simulated; live 520\s?ms, measured$/)
    expect(target.querySelector('.readout')!.textContent).toMatch(/500\s?ms/)
    await userEvent.keyboard('{End}')
    expect(reader.getAttribute('aria-valuetext')).toMatch(/^load 90\.0/)
    await userEvent.keyboard('{Escape}')
    expect(target.querySelector('.readout')).toBeNull()
  })
  test('is where the pointer is, on a scaled stage too', async () => {
    const target = show(LineChart, chart, 'position:absolute;left:100px;top:20px;width:600px;height:320px;transform:scale(.5);transform-origin:0 0')
    await settled()
    const box = target.querySelector('.reader')!.getBoundingClientRect()
    target.querySelector('.box')!.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + box.width * 0.52, clientY: box.top + 20, bubbles: true }))
    flushSync()
    expect(target.querySelector('.readout p')!.textContent).toMatch(/load 50\.0/)
    // It took no focus from the deck.
    expect(document.activeElement).toBe(document.body)
  })
  test('walks a plane in the direction of the key, and Enter picks', async () => {
    const picked: string[] = []
    const points = [['left', 1, 5], ['right', 9, 5], ['top', 5, 9]].map(([label, x, y]) => ({ label: String(label), x: Number(x), y: Number(y), tone: 'decode' as const, how: 'measured' as const }))
    const target = show(Scatter, { title: 'Plane', x: { label: 'x', unit: '' }, y: { label: 'y', unit: '' }, points, onpick: (l: string) => picked.push(l) }, 'width:600px;height:320px')
    await settled()
    target.querySelector<HTMLElement>('.reader')!.focus()
    await userEvent.keyboard('{ArrowRight}{Enter}{ArrowRight}{Enter}{ArrowLeft}{Enter}{ArrowUp}{Enter}')
    expect(picked[0]).toBe('left')
    expect(picked.slice(1, 2)).toEqual([expect.stringMatching(/right|top/)])
    expect(picked.at(-1)).toBe('top')
  })
})

describe('predict first', () => {
  test('hides the answer, takes a stroke on a scaled stage, then shows both', async () => {
    const guess = new Guess(5)
    const target = show(LineChart, { ...chart, guess, guessOf: 'p99' }, 'position:absolute;left:40px;top:20px;width:600px;height:320px;transform:scale(.5);transform-origin:0 0')
    await settled()
    expect(target.querySelector('[data-series]')).toBeNull()
    const surface = target.querySelector<HTMLElement>('.surface')!
    const box = surface.getBoundingClientRect()
    const at = (x: number, y: number) => ({ clientX: box.left + x * box.width, clientY: box.top + y * box.height, pointerId: 1, bubbles: true })
    surface.setPointerCapture = () => {}
    surface.dispatchEvent(new PointerEvent('pointerdown', at(0, 1)))
    surface.dispatchEvent(new PointerEvent('pointermove', at(1, 0)))
    surface.dispatchEvent(new PointerEvent('pointerup', at(1, 0)))
    flushSync()
    // From the low left to the high right over a linear axis: a straight line.
    const top = guess.values.at(-1)!
    guess.values.forEach((v, i) => expect(v).toBeCloseTo((top * i) / 4, 3))
    target.querySelector<HTMLElement>('.words button')!.click()
    flushSync()
    expect([...target.querySelectorAll<HTMLElement>('[data-series]')].map((e) => e.dataset['series'])).toEqual(['p99, simulated', 'live', 'your guess'])
  })
  test('can be drawn by keys alone', async () => {
    const guess = new Guess(5)
    const target = show(LineChart, { ...chart, guess }, 'width:600px;height:320px')
    await settled()
    target.querySelector<HTMLElement>('.surface')!.focus()
    await userEvent.keyboard('{ArrowUp}{ArrowRight}{ArrowUp}{ArrowUp}{ArrowRight}{ArrowRight}{ArrowRight}')
    expect(guess.complete).toBe(true)
    expect(guess.values[1]!).toBeGreaterThan(guess.values[0]!)
    expect(guess.values[4]!).toBeCloseTo(guess.values[1]!, 6)
    await userEvent.keyboard('{Enter}')
    expect(guess.revealed).toBe(true)
  })
})

test('a drawing that is copied carries its looks along', async () => {
  const target = show(LineChart, chart, 'width:600px;height:320px')
  await settled()
  const text = standaloneSvg(target.querySelector('svg[role=img]')!, '#fff')
  const copy = new DOMParser().parseFromString(text, 'image/svg+xml')
  expect(copy.querySelector('parsererror')).toBeNull()
  expect(text).toMatch(/stroke:rgb\(245, 158, 11\)/)
  expect(text).not.toMatch(/var\(/)
})

test.each([
  [999.4, 1000.6],
  [9.94, 118],
])('nothing moves when a number goes from %d to %d', async (before, after) => {
  const boxes = async (value: number) => {
    const q = sampleQuantity({ value })
    const row = document.createElement('div')
    row.style.cssText = 'display:flex;gap:20px;width:900px'
    document.body.append(row)
    for (const [component, props] of [[HeaderTag, { label: 'TTFT', tone: 'prefill', quantity: q }], [HeaderTag, { label: 'p99', tone: 'queue', quantity: q }]] as const) {
      const target = document.createElement('div')
      row.append(target)
      mounted.push(mount(component, { target, props }))
    }
    const card = document.createElement('div')
    card.style.width = '388px'
    row.append(card)
    mounted.push(mount(Callout, { target: card, props: { label: 'Prefill', quantity: q } }))
    flushSync()
    await settled()
    const found = [...row.children].map((e) => [e.getBoundingClientRect().left, e.getBoundingClientRect().height].map(Math.round))
    row.remove()
    return found
  }
  expect(await boxes(after)).toEqual(await boxes(before))
})

describe('a file dropped', () => {
  const drop = (target: HTMLElement, file: File) => {
    const data = new DataTransfer()
    data.items.add(file)
    target.querySelector('.drop')!.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }))
  }
  test('is handed over; what is wrong with one is said by name', async () => {
    const read: string[] = []
    const target = show(FileDrop, {
      label: 'A log', accept: '.json',
      onfile: async (file: File) => {
        const text = await file.text()
        if (text === '{') throw new Error('log.json ends in the middle of a request')
        read.push(text)
      },
    })
    drop(target, new File(['[]'], 'log.json'))
    await expect.poll(() => target.querySelector('.drop')!.getAttribute('data-file')).toBe('loaded')
    expect(read).toEqual(['[]'])
    drop(target, new File(['{'], 'log.json'))
    await expect.poll(() => target.querySelector('[role=alert]')?.textContent).toMatch(/ends in the middle/)
    drop(target, new File(['x'], 'notes.txt'))
    await expect.poll(() => target.querySelector('[role=alert]')?.textContent).toMatch(/notes\.txt is none of \.json/)
  })
})
