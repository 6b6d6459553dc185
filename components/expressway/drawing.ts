/** How the road is drawn. */
export type Drawing = 'webgl' | 'svg'

let unable = false

/** WebGL was asked for here and is not to be had: every road is drawn as SVG from now on. */
export function noteUnable(): void {
  unable = true
}

/** Whether a renderer of this name is the processor: Google's, Mesa's, Microsoft's, Apple's. */
export function imitated(renderer: string): boolean {
  return /swiftshader|llvmpipe|softpipe|swrast|software|microsoft basic render/i.test(renderer)
}

let graphics: boolean | undefined

/**
 * Whether a graphics card draws WebGL here. One that is imitated by the processor would take the very cores
 * that the engine is measured on, and 20 times as long as SVG does. Asked once, on a context that is given back.
 */
function hasGraphics(): boolean {
  if (graphics === undefined) {
    const context = document.createElement('canvas').getContext('webgl2', { failIfMajorPerformanceCaveat: true })
    // Chromium draws by SwiftShader without calling it a caveat: then the name tells.
    const renderer = context && context.getParameter(context.getExtension('WEBGL_debug_renderer_info')?.UNMASKED_RENDERER_WEBGL ?? context.RENDERER) as unknown
    graphics = context !== null && !imitated(String(renderer))
    context?.getExtension('WEBGL_lose_context')?.loseContext()
  }
  return graphics
}

/**
 * WebGL on a screen with motion, where a graphics card draws it; SVG on paper, with reduced motion, and
 * elsewhere. `?road=svg` and `?road=webgl` force it.
 */
export function drawingFor({ still, printing, forced }: { still: boolean; printing: boolean; forced?: Drawing }, capable: () => boolean = hasGraphics): Drawing {
  if (printing || unable) return 'svg'
  return forced ?? (still || !capable() ? 'svg' : 'webgl')
}

/** What the page's address forces. */
export function forcedDrawing(): Drawing | undefined {
  const asked = typeof location === 'undefined' ? null : new URLSearchParams(location.search).get('road')
  return asked === 'svg' || asked === 'webgl' ? asked : undefined
}
