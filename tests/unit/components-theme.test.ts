import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

// The sheet is read as text: what is checked is what the browser gets.
const sheet = readFileSync(new URL('../../theme/tokens.css', import.meta.url), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '')

type Rgba = [number, number, number, number]

function colours(selector: string): Map<string, Rgba> {
  const body = sheet.slice(sheet.indexOf(selector)).match(/\{([^}]*)\}/)?.[1]
  if (!body) throw new Error(`tokens.css has no rule ${selector}`)
  const found = new Map<string, Rgba>()
  for (const [, name, hex] of body.matchAll(/--([\w-]+):\s*#([0-9a-f]{6}(?:[0-9a-f]{2})?)\s*;/g)) {
    const byte = (i: number) => parseInt(hex!.slice(2 * i, 2 * i + 2), 16)
    found.set(name!, [byte(0), byte(1), byte(2), hex!.length === 8 ? byte(3) / 255 : 1])
  }
  return found
}

function over(top: Rgba, ground: Rgba): Rgba {
  const mix = (i: 0 | 1 | 2) => top[i] * top[3] + ground[i] * (1 - top[3])
  return [mix(0), mix(1), mix(2), 1]
}

/** WCAG 2.2, relative luminance and contrast ratio. */
function luminance([r, g, b]: Rgba): number {
  const linear = (v: number) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4)
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
}
function contrast(a: Rgba, b: Rgba): number {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number]
  return (light + 0.05) / (dark + 0.05)
}

test('the contrast formula agrees with the values WCAG publishes', () => {
  expect(contrast([0, 0, 0, 1], [255, 255, 255, 1])).toBeCloseTo(21, 5)
  expect(contrast([0x77, 0x77, 0x77, 1], [255, 255, 255, 1])).toBeCloseTo(4.48, 2)
})

describe.each([
  ['light', "[data-theme='light']"],
  ['dark', "[data-theme='dark']"],
])('%s stage', (_, selector) => {
  const of = colours(selector)
  const get = (name: string): Rgba => {
    const c = of.get(name)
    if (!c) throw new Error(`${selector} does not set --${name} to a hex colour`)
    return c
  }
  const grounds = ['ground', 'card', 'sunken']
  const hues = ['prefill', 'decode', 'queue', 'slate', 'danger']

  test.each(['ink', 'body', 'muted', ...hues.map((h) => `${h}-ink`)])('%s reads on every ground', (text) => {
    for (const ground of grounds) expect(contrast(get(text), get(ground)), `--${text} on --${ground}`).toBeGreaterThanOrEqual(4.5)
  })

  test.each(hues)('%s-ink reads on its own tint', (hue) => {
    for (const ground of grounds) {
      expect(contrast(get(`${hue}-ink`), over(get(`${hue}-tint`), get(ground))), `tint over --${ground}`).toBeGreaterThanOrEqual(4.5)
    }
  })

  test.each(['on-solid', 'on-solid-muted', 'on-solid-prefill', 'on-solid-decode', 'on-solid-queue'])('%s reads on solid', (text) => {
    expect(contrast(get(text), get('solid'))).toBeGreaterThanOrEqual(4.5)
  })

  test('outlines of controls stand out', () => {
    for (const ground of grounds) expect(contrast(get('edge'), get(ground)), `--edge on --${ground}`).toBeGreaterThanOrEqual(3)
  })
})
