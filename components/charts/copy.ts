import { THIN } from '$components/motif/format'
import type { DataTable } from './frame'

/** A table as comma-separated values (RFC 4180), numbers in full, without the thin spaces of print. */
export function csv({ columns, rows }: DataTable): string {
  const cell = (value: string | number) => {
    const text = String(value).replaceAll(THIN, ' ')
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
  }
  return [columns, ...rows].map((row) => row.map(cell).join(',')).join('\r\n') + '\r\n'
}

/** What style sheets may have said about a mark; all else an SVG file has by default. */
const STYLED = [
  'fill', 'fill-opacity', 'stroke', 'stroke-width', 'stroke-dasharray', 'stroke-linecap', 'stroke-linejoin', 'paint-order', 'opacity',
  'font-family', 'font-size', 'font-weight', 'font-feature-settings', 'text-anchor', 'transform', 'visibility', 'display',
] as const

/** A drawing that looks the same outside this page: a copy with its computed styles written into it. */
export function standaloneSvg(svg: SVGSVGElement, background: string): string {
  const copy = svg.cloneNode(true) as SVGSVGElement
  const from = [svg, ...svg.querySelectorAll<SVGElement>('*')]
  const to = [copy, ...copy.querySelectorAll<SVGElement>('*')]
  const plain = getComputedStyle(document.createElementNS(svg.namespaceURI!, 'g'))
  for (const [i, element] of from.entries()) {
    const style = getComputedStyle(element)
    const own = STYLED.flatMap((name) => {
      const value = style.getPropertyValue(name)
      return value && value !== plain.getPropertyValue(name) ? `${name}:${value}` : []
    })
    to[i]!.removeAttribute('class')
    to[i]!.setAttribute('style', own.join(';'))
  }
  copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg')
  copy.style.background = background
  return new XMLSerializer().serializeToString(copy)
}

/** Puts text on the clipboard; where the browser does not allow that, hands it over as a file. Says which. */
export async function handOver(text: string, file: { name: string; type: string }): Promise<'copied' | 'saved'> {
  try {
    await navigator.clipboard.writeText(text)
    return 'copied'
  } catch {
    const url = URL.createObjectURL(new Blob([text], { type: file.type }))
    const link = document.createElement('a')
    link.href = url
    link.download = file.name
    link.click()
    setTimeout(() => URL.revokeObjectURL(url))
    return 'saved'
  }
}
