/** A label that hangs on a vertical line at x. */
export interface Flag {
  x: number
  /** Width of its text, px. */
  width: number
}

export interface PlacedFlag {
  /** 0 is nearest to the axis. */
  row: number
  /** The text's left and right ends. */
  left: number
  right: number
  /** Which side of its line the text stands on. */
  side: 'right' | 'left'
}

/**
 * Gives each flag a row and a side so that no label touches another or is crossed by another's line, in
 * as few rows as that takes. Labels stay within 0 … width. Results are in the order of the input; meant
 * for a handful of flags, as it tries their places in turn.
 */
export function placeFlags(flags: readonly Flag[], width: number, gap = 6, apart = 10): PlacedFlag[] {
  const order = flags.map((_, i) => i).sort((a, b) => flags[a]!.x - flags[b]!.x)
  const result: PlacedFlag[] = []

  function solve(next: number, rows: number): boolean {
    const i = order[next]
    if (i === undefined) return true
    for (let row = 0; row < rows; row++) {
      for (const side of ['right', 'left'] as const) {
        const candidate = hang(flags[i]!, row, side, gap)
        if (candidate.left < 0 || candidate.right > width) continue
        if (order.slice(0, next).some((j) => collide(candidate, flags[i]!.x, result[j]!, flags[j]!.x, apart))) continue
        result[i] = candidate
        if (solve(next + 1, rows)) return true
      }
    }
    return false
  }

  for (let rows = 1; rows <= flags.length; rows++) if (solve(0, rows)) return result
  // No room for that: a row each, as far inside as it goes.
  return flags.map((flag, i) => {
    const left = Math.max(0, Math.min(flag.x + gap, width - flag.width))
    return { row: flags.length - 1 - order.indexOf(i), side: 'right', left, right: left + flag.width }
  })
}

function hang(flag: Flag, row: number, side: 'right' | 'left', gap: number): PlacedFlag {
  const left = side === 'right' ? flag.x + gap : flag.x - gap - flag.width
  return { row, side, left, right: left + flag.width }
}

/** A line rises from the axis up to its own label's row. */
function collide(a: PlacedFlag, ax: number, b: PlacedFlag, bx: number, apart: number): boolean {
  if (a.row === b.row && a.left < b.right + apart && b.left < a.right + apart) return true
  const crosses = (x: number, label: PlacedFlag) => x > label.left - 3 && x < label.right + 3
  return (b.row >= a.row && crosses(bx, a)) || (a.row >= b.row && crosses(ax, b))
}

/** Width of a label in Inter at `size` px: a little generous, so that what is placed by it never touches. */
export function labelWidth(text: string, size: number): number {
  let em = 0
  for (const c of text) em += /[il.,:;'|\u202f ]/.test(c) ? 0.32 : /[mwMW@%]/.test(c) ? 0.92 : /[A-Z0-9]/.test(c) ? 0.68 : 0.59
  return em * size
}
