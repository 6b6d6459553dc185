import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { EMBED_PARTS, embedAddress, embedCode } from '../worker/embed-address'
import { ROOT } from './place'
import { UsageError } from './usage'

export const help = `expressway embed-code SLIDE [options]

The HTML that puts one slide into another page. SLIDE is its number or its id: 10, 10_batch_size_tradeoff.

  --set NAME=VALUE   a parameter of the slide; as often as there are parameters
  --hide PARTS       parts to leave out: ${EMBED_PARTS.join(', ')}
  --theme THEME      light, dark, or auto for the reader's own (default: the slide's)
  --lens LENS        another machine, such as h100-sxm/llama-3.1-8b
  --start visible    start the engine once the slide is seen (default: when the reader asks)
  --iframe           a plain iframe in place of the element
  --site ADDRESS     where the deck is served (default: EXPRESSWAY_SITE, else http://localhost:4173/)
  --json             { slide, address, html }`

export async function main(args: readonly string[]): Promise<void> {
  await Promise.resolve()
  print(args)
}

function print(args: readonly string[]): void {
  const { values, positionals } = parse(args)
  if (positionals.length !== 1) throw new UsageError(`give one slide, such as 10 or 10_batch_size_tradeoff, not ${positionals.length}`)
  const slide = slideNamed(positionals[0]!)
  const parameters = Object.fromEntries((values.set ?? []).map((text) => {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? []
    if (name === undefined) throw new UsageError(`--set takes NAME=VALUE, not ${JSON.stringify(text)}`)
    return [name, value!]
  }))
  const parts = values.hide?.split(/[\s,]+/).filter(Boolean) ?? []
  const unknown = parts.find((part) => !(EMBED_PARTS as readonly string[]).includes(part))
  if (unknown !== undefined) throw new UsageError(`--hide: there is no part ${JSON.stringify(unknown)}; there are ${EMBED_PARTS.join(', ')}`)
  const { theme, lens, start } = values
  const options = { ...(parts.length && { hide: parts.join(',') }), ...(theme !== undefined && { theme }), ...(lens !== undefined && { lens }), ...(start !== undefined && { start }) }
  const site = siteOf(values.site ?? process.env['EXPRESSWAY_SITE'] ?? 'http://localhost:4173/')
  try {
    const request = { slide, parameters, options }
    const html = embedCode(site, request, values.iframe ? 'iframe' : 'element')
    console.log(values.json ? JSON.stringify({ slide, address: embedAddress(site, request), html }, null, 2) : html)
  } catch (error) {
    throw error instanceof RangeError ? new UsageError(`--set: ${error.message}`, { cause: error }) : error
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args], allowPositionals: true, strict: true,
      options: {
        set: { type: 'string', multiple: true }, hide: { type: 'string' }, theme: { type: 'string' }, lens: { type: 'string' }, start: { type: 'string' },
        iframe: { type: 'boolean' }, site: { type: 'string' }, json: { type: 'boolean' },
      },
    })
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause })
  }
}

/** A slide's id by its id or its number. */
function slideNamed(name: string): string {
  const ids = readdirSync(join(ROOT, 'slides'), { withFileTypes: true }).filter((e) => e.isDirectory()).map((e) => e.name).sort()
  const found = ids.find((id) => id === name || (/^\d{1,2}$/.test(name) && Number.parseInt(id, 10) === Number(name)))
  if (!found) throw new UsageError(`there is no slide ${JSON.stringify(name)}; there are ${ids.join(', ')}`)
  return found
}

function siteOf(text: string): string {
  if (!URL.canParse(text) || !/^https?:/.test(text)) throw new UsageError(`--site takes an address such as https://example.org/latency/, not ${JSON.stringify(text)}`)
  return text.endsWith('/') ? text : `${text}/`
}
