import type { Role } from './scene'
import type { Material, Mix } from './world'

/** Colours of the model, as both drawings take them; hex, on a light stage and on a dark one. */
export interface Palette {
  ground: string
  road: string
  roadSide: string
  ramp: string
  rampSide: string
  mark: string
  queue: string
  prefill: string
  decode: string
  muted: string
  materials: Record<Material, string>
  glass: string
  roof: string
  wheel: string
  bed: string
  headLamp: string
  tailLamp: string
  tailDark: string
  go: string
  stop: string
  arm: string
  shadow: string
  shadowOpacity: number
  /** Light from above, light thrown back by the ground, sun; and what they look like. */
  light: { sky: string; ground: string; hemisphere: number; sun: string; sunStrength: number }
}

const LIGHT: Palette = {
  ground: '#f8fafc',
  road: '#dde4ed', roadSide: '#b3c0d1', ramp: '#cfdcf8', rampSide: '#9fb6ea', mark: '#ffffff',
  queue: '#f59e0b', prefill: '#2563eb', decode: '#14b8a6', muted: '#8b99ad',
  materials: {
    road: '#dde4ed', pillar: '#c3cedb', island: '#eef2f7', booth: '#f8fafc', window: '#475a75', post: '#64748b', canopy: '#f59e0b', fascia: '#2f3e55',
    sign: '#1e293b', trunk: '#a8b5c2', tree: '#bfd9d1', hall: '#f1f5f9', roof: '#cbd5e1',
  },
  glass: '#24324a', roof: '#ffffff', wheel: '#16202f', bed: '#55647a', headLamp: '#fff8e6', tailLamp: '#ef4444', tailDark: '#7f2b2b',
  go: '#14b8a6', stop: '#dc2626', arm: '#ffffff',
  shadow: '#1e3a5f', shadowOpacity: 0.15,
  light: { sky: '#ffffff', ground: '#d9e3f0', hemisphere: 1.93, sun: '#fffaf2', sunStrength: 1.45 },
}

const DARK: Palette = {
  ground: '#0b1220',
  road: '#26344d', roadSide: '#182237', ramp: '#22376a', rampSide: '#1a2a58', mark: '#6a7c99',
  queue: '#f59e0b', prefill: '#3b76f6', decode: '#14b8a6', muted: '#64748b',
  materials: {
    road: '#26344d', pillar: '#1f2a3f', island: '#3a4860', booth: '#a3b2cb', window: '#ffd27a', post: '#3d4a61', canopy: '#f59e0b', fascia: '#0f172a',
    sign: '#0b1220', trunk: '#26324a', tree: '#1f4443', hall: '#33415a', roof: '#26344d',
  },
  glass: '#1b2740', roof: '#dfe8f7', wheel: '#070b14', bed: '#4a5871', headLamp: '#fff3d6', tailLamp: '#ff4438', tailDark: '#6b1d1d',
  go: '#2dd4bf', stop: '#ff5a4d', arm: '#e2e8f0',
  shadow: '#000000', shadowOpacity: 0.42,
  light: { sky: '#b9c8e6', ground: '#141d33', hemisphere: 1.75, sun: '#dbe6ff', sunStrength: 1.5 },
}

export const paletteOf = (dark: boolean): Palette => (dark ? DARK : LIGHT)

export type Rgb = readonly [r: number, g: number, b: number]

/** Channels of a hex colour, 0 … 1, as written (sRGB). */
export function rgb(hex: string): Rgb {
  const n = Number.parseInt(hex.slice(1), 16)
  return [(n >> 16) / 255, ((n >> 8) & 255) / 255, (n & 255) / 255]
}

export function hex([r, g, b]: Rgb): string {
  const byte = (v: number) => Math.round(Math.min(1, Math.max(0, v)) * 255).toString(16).padStart(2, '0')
  return `#${byte(r)}${byte(g)}${byte(b)}`
}

export function blend(a: Rgb, b: Rgb, t: number): Rgb {
  return [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t]
}

/** Colour of a kerb's point. */
export function mixOf(p: Palette, [q, pre, dec, road]: Mix): Rgb {
  const parts: [Rgb, number][] = [[rgb(p.queue), q], [rgb(p.prefill), pre], [rgb(p.decode), dec], [rgb(p.road), road]]
  return [0, 1, 2].map((k) => parts.reduce((sum, [c, w]) => sum + c[k]! * w, 0)) as unknown as Rgb
}

export function roleColour(p: Palette, role: Role): Rgb {
  return rgb(role === 'muted' ? p.muted : p[role])
}
