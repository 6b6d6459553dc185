/** `[set batch=32]` in a slide's notes: what a press of the clicker sets. */
export interface Direction {
  name: string
  /** As in the address. */
  text: string
}

export type Part = { words: string } | { direction: Direction; index: number }

const DIRECTION = /\[set ([a-z][a-z0-9_]*)=([^\]\s]+)\]/g

/** Notes as paragraphs of words and stage directions, the directions numbered through the slide. */
export function paragraphs(notes: string): Part[][] {
  let index = 0
  return notes.trim().split(/\n\s*\n/).filter(Boolean).map((paragraph) => {
    const parts: Part[] = []
    let from = 0
    for (const found of paragraph.matchAll(DIRECTION)) {
      const words = paragraph.slice(from, found.index).replace(/\s+/g, ' ')
      if (words.trim()) parts.push({ words })
      parts.push({ direction: { name: found[1]!, text: found[2]! }, index: index++ })
      from = found.index + found[0].length
    }
    const rest = paragraph.slice(from).replace(/\s+/g, ' ')
    if (rest.trim()) parts.push({ words: rest })
    return parts
  })
}

/** A slide's stage directions in their order. */
export function directions(notes: string): Direction[] {
  return paragraphs(notes).flat().flatMap((part) => ('direction' in part ? [part.direction] : []))
}

/** Where a slide's directions stand: so many were played, and this is what stood before the first. */
export interface Played {
  at: number
  /** Texts of the parameters that directions set, as they stood before. */
  base: Readonly<Record<string, string>>
}

type Texts = Readonly<Record<string, string>>

function after(list: readonly Direction[], { at, base }: Played): Record<string, string> {
  const texts: Record<string, string> = { ...base }
  for (const { name, text } of list.slice(0, at)) texts[name] = text
  return texts
}

/** What a press of the clicker does on a slide: which parameters to set, and where its directions then stand. */
export interface Press {
  played: Played
  set: Record<string, string>
}

/**
 * On by one direction: the next that changes anything (one that asks for what stands there already is passed
 * over, for a press must be seen). Directions that the slide does not know are passed over too. Undefined: none is left, the page turns.
 */
export function forward(list: readonly Direction[], played: Played | undefined, texts: Texts): Press | undefined {
  const from = played?.at ?? 0
  for (let i = from; i < list.length; i++) {
    const { name, text } = list[i]!
    if (texts[name] === undefined || texts[name] === text) continue
    const base: Record<string, string> = { ...played?.base }
    for (const d of list) if (texts[d.name] !== undefined) base[d.name] ??= texts[d.name]!
    return { played: { at: i + 1, base }, set: { [name]: text } }
  }
  return undefined
}

/** Back by one: to what stood before the last direction that changed anything. Undefined: at the beginning, the page turns back. */
export function backward(list: readonly Direction[], played: Played | undefined, texts: Texts): Press | undefined {
  if (!played) return undefined
  for (let at = Math.min(played.at, list.length) - 1; at >= 0; at--) {
    const wanted = after(list, { at, base: played.base })
    const set = Object.fromEntries(Object.entries(wanted).filter(([name, text]) => texts[name] !== undefined && texts[name] !== text))
    if (Object.keys(set).length) return { played: { at, base: played.base }, set }
  }
  return undefined
}
