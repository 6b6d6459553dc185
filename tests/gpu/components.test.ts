import '$theme/index.css'
import axe from 'axe-core'
import { flushSync, mount, unmount, type Component, type ComponentProps } from 'svelte'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { page, userEvent } from 'vitest/browser'
import Choice from '$components/controls/Choice.svelte'
import Slider from '$components/controls/Slider.svelte'
import { choice, define, power2 } from '$components/controls/params'
import Histogram from '$components/charts/Histogram.svelte'
import Gallery from '$components/gallery/Gallery.svelte'
import { provenances, sampleQuantity, sampleTrace } from '$components/gallery/samples'
import BottleneckBadge from '$components/motif/BottleneckBadge.svelte'
import LatencyRuler from '$components/motif/LatencyRuler.svelte'
import Quantity from '$components/motif/Quantity.svelte'
import TokenStrip from '$components/motif/TokenStrip.svelte'
import { labelWidth } from '$components/motif/labels'

let mounted: ReturnType<typeof mount>[] = []

/** Mounts on a fresh element of the page. */
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
  await page.viewport(1200, 800)
  await Promise.all([document.fonts.load('600 16px "Inter Variable"'), document.fonts.load('500 17px "JetBrains Mono Variable"')])
})

afterEach(async () => {
  for (const m of mounted) await unmount(m)
  mounted = []
  document.body.replaceChildren()
  delete document.documentElement.dataset['theme']
  delete document.documentElement.dataset['layout']
})

describe('Quantity', () => {
  test('carries its value, unit and how it is known', () => {
    const [, simulated] = provenances()
    const element = show(Quantity, { of: sampleQuantity({ value: 118.4, provenance: simulated! }) }).querySelector<HTMLElement>('[data-metric]')!
    expect({ ...element.dataset }).toMatchObject({ metric: 'ttft', value: '118.4', unit: 'ms', how: 'simulated' })
    expect(element.textContent).toMatch(/118\s?ms/)
    expect(element.getAttribute('aria-label')).toBe('TTFT: 118 milliseconds, simulated')
  })

  test.each([
    ['nothing', null],
    ['not a number', sampleQuantity({ value: NaN })],
  ])('%s shows no number at all', (_, of) => {
    const target = show(Quantity, { of, metric: 'ttft' })
    expect(target.querySelector('[data-value]')).toBeNull()
    expect(target.querySelector('[data-metric=ttft]')!.textContent).toMatch(/not measured yet/)
    expect(target.textContent).not.toMatch(/\d/)
  })

  test('opens on Enter beside the number, also on a scaled stage, and says where it comes from', async () => {
    const stage = show(
      Quantity,
      { of: sampleQuantity({ samples: [4, 5, 9], formula: 'a^2', resolution: 0.1 }), size: 'callout' },
      'position:absolute;left:300px;top:100px;transform:scale(.5);transform-origin:0 0',
    )
    const button = stage.querySelector<HTMLElement>('button')!
    button.focus()
    await userEvent.keyboard('{Enter}')
    await settled()
    const card = document.querySelector<HTMLElement>('.pop-over:popover-open')!
    expect(card.textContent).toMatch(/Time to first token/)
    expect(card.textContent).toMatch(/3 samples: 4.0 to 9.0\s?ms, half below 5.0\s?ms/)
    expect(card.textContent).toMatch(/Recorded on 2026-01-01 on Hand-made sample/)
    await expect.poll(() => card.querySelector('math')?.textContent).toMatch(/a/)

    const [anchor, box] = [button.getBoundingClientRect(), card.getBoundingClientRect()]
    expect(box.top).toBeGreaterThanOrEqual(anchor.bottom)
    expect(box.top - anchor.bottom).toBeLessThan(16)
    expect(box.left).toBeLessThan(anchor.right)
    expect(box.right).toBeGreaterThan(anchor.left)

    await userEvent.keyboard('{Escape}')
    expect(document.querySelector('.pop-over:popover-open')).toBeNull()
    expect(document.activeElement).toBe(button)
  })
})

describe('controls', () => {
  const params = define({
    prompt: power2({ from: 16, to: 2048, default: 512, label: 'Prompt', unit: 'tok' }),
    order: choice({ options: ['first', 'second'], default: 'first', label: 'Order' }),
  })
  function slider() {
    const committed: number[] = []
    const target = show(Slider, { param: params.prompt, value: 512, oncommit: (v: number) => committed.push(v) })
    return { target, committed, input: target.querySelector<HTMLInputElement>('input[name=prompt]')! }
  }

  test('the range holds the position, data-param-value the value', async () => {
    const { input, committed } = slider()
    expect([input.type, input.value, input.dataset['paramValue']]).toEqual(['range', '9', '512'])
    input.focus()
    await userEvent.keyboard('{ArrowRight}')
    expect([input.value, input.dataset['paramValue'], input.getAttribute('aria-valuetext')]).toEqual(['10', '1024', '1024 tokens'])
    expect(committed).toEqual([1024])
    expect(input.closest('[data-prevent-swipe]')).not.toBeNull()
  })

  test('a click on the value lets one be typed; nonsense is named, and what stood before stays', async () => {
    const { target, input } = slider()
    await userEvent.click(target.querySelector('button.value')!)
    await userEvent.keyboard('100{Enter}')
    expect(input.dataset['paramValue']).toBe('128')
    await userEvent.click(target.querySelector('button.value')!)
    await userEvent.keyboard('lots{Enter}')
    expect(input.dataset['paramValue']).toBe('128')
    expect(target.querySelector('[role=alert]')!.textContent).toMatch(/prompt: "lots" is not a number/)
    await userEvent.click(target.querySelector('button.reset')!)
    expect(input.dataset['paramValue']).toBe('512')
    expect(target.querySelector('[role=alert]')).toBeNull()
  })

  test('a drag lets go of the focus, so that the next key is the deck’s', async () => {
    const { input } = slider()
    await userEvent.click(input, { position: { x: 10, y: 10 } })
    expect(input.dataset['paramValue']).not.toBe('512')
    expect(document.activeElement).not.toBe(input)
  })

  test('the same choice mounted twice keeps two settings', async () => {
    const [a, b] = [show(Choice, { param: params.order, value: 'first' }), show(Choice, { param: params.order, value: 'first' })]
    await userEvent.click(a.querySelector('input[value=second]')!)
    const checked = (t: HTMLElement) => t.querySelector<HTMLInputElement>('input:checked')!.value
    expect([checked(a), checked(b)]).toEqual(['second', 'first'])
  })
})

test('the badge names the largest part and lists all five', async () => {
  const target = show(BottleneckBadge, { of: { compute: 92, memory: 412, queue: 71, network: 20, overhead: 49 } })
  const badge = target.querySelector<HTMLElement>('[data-bottleneck]')!
  expect(badge.dataset['bottleneck']).toBe('memory')
  expect(badge.textContent).toMatch(/Memory\s*64\s?%/)
  await userEvent.click(badge)
  await settled()
  const cells = [...target.querySelectorAll('tbody tr td:nth-of-type(1)')].map((td) => parseFloat(td.textContent!))
  expect(cells).toEqual([92, 412, 71, 20, 49])
  expect(parseFloat(target.querySelector('tfoot td')!.textContent!)).toBe(cells.reduce((a, b) => a + b))
})

test('no badge before anything is known', () => {
  expect(show(BottleneckBadge, { of: null }).querySelector('[data-bottleneck]')).toBeNull()
})

describe('token strip', () => {
  test('the newest token is in view however long the text, and is the text of the Trace', () => {
    const trace = sampleTrace([{ promptTokens: 40, outputs: 60 }])
    const target = show(TokenStrip, { trace, request: 0, at: 1e6 }, 'width:600px')
    const pills = [...target.querySelectorAll<HTMLElement>('[data-pill]')]
    const spoken = trace.events.filter((e) => e.kind === 'token').map((e) => e.text)
    const decoded = pills.filter((p) => p.dataset['pill'] === 'decode').map((p) => p.textContent)
    // A new line is drawn as an icon; every other token reads as it is, white space included.
    expect(decoded).toEqual(spoken.map((t) => t!.replaceAll('\n', '')))
    const [last, box] = [pills.at(-1)!.getBoundingClientRect(), target.getBoundingClientRect()]
    expect(last.right).toBeLessThanOrEqual(box.right + 0.5)
    expect(last.left).toBeGreaterThan(box.left)
  })
  test('a short text begins at the left', () => {
    const trace = sampleTrace([{ outputs: 1 }])
    const target = show(TokenStrip, { trace, request: 0, at: 0 }, 'width:1000px;margin-left:50px')
    expect(target.querySelector('[data-pill]')!.getBoundingClientRect().left).toBeCloseTo(target.getBoundingClientRect().left, 0)
  })
})

describe('latency ruler', () => {
  test.each([1092, 350])('no two texts overlap at %d px, and none is cut off', async (width) => {
    const trace = sampleTrace([{ promptTokens: 40, outputs: 40, rtt: 60 }])
    const flags = [
      { t: 130, label: 'p50 TTFT', tone: 'queue' as const },
      { t: 346, label: 'p99 TTFT', tone: 'queue' as const },
    ]
    const target = show(LatencyRuler, { trace, request: 0, at: 1e6, flags }, `width:${width}px`)
    await settled()
    const texts = [...target.querySelectorAll('text')].map((t) => ({ text: t.textContent, box: t.getBoundingClientRect() }))
    expect(texts.map((t) => t.text)).toEqual(expect.arrayContaining(['TTFT', 'p50 TTFT', 'p99 TTFT', '0']))
    const frame = target.getBoundingClientRect()
    for (const [i, a] of texts.entries()) {
      expect(a.box.left, a.text!).toBeGreaterThanOrEqual(frame.left - 1)
      expect(a.box.right, a.text!).toBeLessThanOrEqual(frame.right + 1)
      for (const b of texts.slice(i + 1)) {
        const apart = a.box.right <= b.box.left || b.box.right <= a.box.left || a.box.bottom <= b.box.top + 3 || b.box.bottom <= a.box.top + 3
        expect(apart, `${a.text} and ${b.text}`).toBe(true)
      }
    }
  })

  test('labels are never wider than they are taken to be', () => {
    const text = document.createElementNS('http://www.w3.org/2000/svg', 'text')
    text.style.cssText = 'font: 600 16px "Inter Variable"; font-feature-settings: "tnum"'
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
    svg.append(text)
    document.body.append(svg)
    for (const label of ['TTFT', 'p50 TTFT', 'p99 TTFT', 'slowest 1204\u202fms', 'target 500\u202fms', 'memory 23.0\u202fGB/s', 'arithmetic 49.0\u202fGFLOP/s', 'p90 TPOT', 'goodput']) {
      text.textContent = label
      expect(text.getComputedTextLength(), label).toBeLessThanOrEqual(labelWidth(label, 16))
    }
  })
})

test('a histogram has a dot a value, and its data behind the key t', async () => {
  const values = [40, 60, 61, 90, 300]
  const target = show(Histogram, { values, unit: 'ms' as const, label: 'TTFT', marks: [{ value: 61, label: 'p50', weight: 1 }] }, 'width:600px;height:300px')
  await settled()
  expect(target.querySelectorAll('circle')).toHaveLength(values.length)
  expect(target.querySelector('svg[role=img]')!.getAttribute('aria-label')).toMatch(/5 values from 40.0\s?ms to 300\s?ms; p50 61.0\s?ms/)
  target.querySelector<HTMLElement>('button.toggle')!.focus()
  await userEvent.keyboard('t')
  expect([...target.querySelectorAll('tbody td')].map((td) => parseFloat(td.textContent!))).toEqual(values)
})

describe('every component in every state', () => {
  async function gallery(theme: string, width: number, height: number) {
    await page.viewport(width, height)
    document.documentElement.dataset['theme'] = theme
    if (width < 700) document.documentElement.dataset['layout'] = 'page'
    show(Gallery, {})
    // Formulas come with the first use.
    await expect.poll(() => document.querySelector('math'), { timeout: 30_000 }).not.toBeNull()
    await settled()
  }

  // Contrast depends on the theme, sizes on the width: two runs see both.
  test.each([
    ['light', 1600, 900],
    ['dark', 390, 844],
  ])('no accessibility fault: %s, %d × %d', async (theme, width, height) => {
    await gallery(theme, width, height)
    const { violations } = await axe.run(document.body, { resultTypes: ['violations'] })
    expect(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(' | ')}`)).toEqual([])
  })

  test.each([
    [1600, 900],
    [390, 844],
  ])('nothing wider than the page at %d × %d', async (width, height) => {
    await gallery('light', width, height)
    expect(document.documentElement.scrollWidth).toBeLessThanOrEqual(width)
  })
})
