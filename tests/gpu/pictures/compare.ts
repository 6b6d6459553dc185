/** Side of the squares that are compared, px of the kept picture: two text heights of the screen, so that a lost label is most of one. */
const CELL = 8
/** Of 255: antialiasing and hinting move a square's mean by less, a lost or moved label by more. */
const MOST = 20
/** Kept at half the size: small files, and what the eye would not miss is gone. */
const SCALE = 0.5

export interface Difference {
  /** Largest difference of the means of a square, 0 … 255, and where, px of the screen. */
  worst: number
  at: { x: number; y: number }
  alike: boolean
}

/** A piece of an image at the size it is kept in. */
export function piece(image: CanvasImageSource, box: { x: number; y: number; width: number; height: number }): HTMLCanvasElement {
  const canvas = document.createElement('canvas')
  canvas.width = Math.round(box.width * SCALE)
  canvas.height = Math.round(box.height * SCALE)
  const context = canvas.getContext('2d', { willReadFrequently: true })!
  context.imageSmoothingQuality = 'high'
  context.drawImage(image, box.x, box.y, box.width, box.height, 0, 0, canvas.width, canvas.height)
  return canvas
}

/** Compares two pictures of one size by the means of small squares. Pictures of different sizes differ altogether. */
export function compare(a: HTMLCanvasElement, b: HTMLCanvasElement): Difference {
  if (a.width !== b.width || a.height !== b.height) return { worst: 255, at: { x: 0, y: 0 }, alike: false }
  const [p, q] = [a, b].map((c) => c.getContext('2d')!.getImageData(0, 0, c.width, c.height).data) as [Uint8ClampedArray, Uint8ClampedArray]
  let worst = 0
  let at = { x: 0, y: 0 }
  for (let y0 = 0; y0 < a.height; y0 += CELL / 2) {
    for (let x0 = 0; x0 < a.width; x0 += CELL / 2) {
      const sum = [0, 0, 0]
      let n = 0
      for (let y = y0; y < Math.min(y0 + CELL, a.height); y++) {
        for (let x = x0; x < Math.min(x0 + CELL, a.width); x++, n++) for (let c = 0; c < 3; c++) sum[c]! += p[4 * (y * a.width + x) + c]! - q[4 * (y * a.width + x) + c]!
      }
      const far = Math.max(...sum.map((s) => Math.abs(s) / n))
      if (far > worst) [worst, at] = [far, { x: x0 / SCALE, y: y0 / SCALE }]
    }
  }
  return { worst, at, alike: worst <= MOST }
}

export async function load(url: string): Promise<HTMLCanvasElement> {
  const image = await createImageBitmap(await (await fetch(url)).blob())
  const canvas = document.createElement('canvas')
  canvas.width = image.width
  canvas.height = image.height
  canvas.getContext('2d', { willReadFrequently: true })!.drawImage(image, 0, 0)
  return canvas
}
