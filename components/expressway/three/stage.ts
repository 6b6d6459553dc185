import { PCFShadowMap, SRGBColorSpace, WebGLRenderer } from 'three'
import type { RoadView, Shot } from './view'

/**
 * The page's one WebGL context. A browser allows sixteen for a page and all its frames, so the roads of all
 * slides share it: each hands in what it wants to show and gets the picture copied onto its own canvas, where
 * it stays while the renderer serves another. Given back when no road is on screen.
 */

/** How long the context is kept when nobody uses it: turning the page and back makes no new one. */
const KEEP_MS = 8000
/** A context that does not come back in this time is taken for gone. */
const LOST_MS = 4000

interface Held {
  renderer: WebGLRenderer
  canvas: HTMLCanvasElement
  lost: boolean
}

let held: Held | undefined
const users = new Set<User>()
let release: ReturnType<typeof setTimeout> | undefined
let made = 0

export interface User {
  /** The context came back: draw again. */
  restored(): void
  /** It is gone for good: draw without. */
  gone(): void
}

/** For tests and the page's own diagnostics: contexts alive now, made so far, and who uses them. */
export function stageState(): { alive: number; made: number; users: number; canvas: HTMLCanvasElement | undefined } {
  return { alive: held ? 1 : 0, made, users: users.size, canvas: held?.canvas }
}

function open(): Held | undefined {
  const canvas = document.createElement('canvas')
  let renderer: WebGLRenderer
  try {
    renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true, powerPreference: 'default' })
  } catch {
    // No WebGL here, or no context left: the caller draws the road as SVG.
    return undefined
  }
  made++
  renderer.setPixelRatio(1)
  renderer.setClearAlpha(0)
  renderer.outputColorSpace = SRGBColorSpace
  renderer.shadowMap.enabled = true
  renderer.shadowMap.type = PCFShadowMap
  const mine: Held = { renderer, canvas, lost: false }
  let timer: ReturnType<typeof setTimeout> | undefined
  canvas.addEventListener('webglcontextlost', (event) => {
    if (held !== mine) return
    event.preventDefault()
    mine.lost = true
    timer = setTimeout(() => {
      if (held !== mine || !mine.lost) return
      close()
      for (const user of [...users]) user.gone()
    }, LOST_MS)
  })
  canvas.addEventListener('webglcontextrestored', () => {
    clearTimeout(timer)
    if (held !== mine) return
    mine.lost = false
    // After three's own listener has set the renderer up again.
    queueMicrotask(() => { for (const user of [...users]) user.restored() })
  })
  return mine
}

function close(): void {
  if (!held) return
  const { renderer, lost } = held
  held = undefined
  renderer.dispose()
  if (!lost) renderer.forceContextLoss()
}

/** Takes part; false when there is no WebGL. */
export function join(user: User): boolean {
  clearTimeout(release)
  held ??= open()
  if (!held) return false
  users.add(user)
  return true
}

export function leave(user: User): void {
  users.delete(user)
  clearTimeout(release)
  if (users.size === 0) release = setTimeout(close, KEEP_MS)
}

/** Draws a shot and copies it onto a canvas of the given pixels. False while the context is lost. */
export function draw(view: RoadView, shot: Shot, onto: HTMLCanvasElement, pixels: { width: number; height: number }): boolean {
  if (!held || held.lost) return false
  const { renderer, canvas } = held
  const { width, height } = pixels
  if (canvas.width !== width || canvas.height !== height) renderer.setSize(width, height, false)
  view.draw(renderer, shot)
  // The event that tells of a loss comes later than the loss: a blank would be copied over the last picture.
  if (renderer.getContext().isContextLost()) return false
  if (onto.width !== width || onto.height !== height) {
    onto.width = width
    onto.height = height
  }
  const context = onto.getContext('2d')!
  context.globalCompositeOperation = 'copy'
  context.drawImage(canvas, 0, 0)
  return true
}
