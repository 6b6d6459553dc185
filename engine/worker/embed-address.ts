/** What an embed is asked for: one slide, as it is to look. */
export interface EmbedRequest {
  /** "10_batch_size_tradeoff" */
  slide: string
  /** Texts of parameters by name, as in the address: { batch: '16' }. */
  parameters?: Readonly<Record<string, string>>
  /** Words for all else that the address says: lens, theme, hide, runner, start. */
  options?: Readonly<Partial<Record<EmbedOption, string>>>
}

/** Names in an embed's address that are not a slide's own parameters. `trust` is added by embed.js. */
export const EMBED_OPTIONS = ['hide', 'lens', 'road', 'runner', 'slow', 'start', 'theme', 'trust'] as const
export type EmbedOption = (typeof EMBED_OPTIONS)[number]

/** Parts that `hide` takes out. */
export const EMBED_PARTS = ['header', 'tags', 'lens', 'callouts', 'controls', 'replay', 'legend', 'footer', 'notes', 'bar'] as const

const NAME = /^[a-z][a-z0-9_]*$/

/** The frame's address. `site` is the deck's, ending in a slash. Throws RangeError naming what is no name. */
export function embedAddress(site: string, { slide, parameters = {}, options = {} }: EmbedRequest): string {
  const address = new URL(`embed/${slide}/`, site)
  for (const [name, text] of entries(parameters, options)) address.searchParams.set(name, text)
  return address.href
}

/** The same as HTML: a script and an element, or a plain iframe. */
export function embedCode(site: string, request: EmbedRequest, form: 'element' | 'iframe' = 'element'): string {
  if (form === 'iframe') {
    return `<iframe src="${escaped(embedAddress(site, request))}" width="100%" height="720" style="border: 0" loading="lazy" allow="fullscreen; cross-origin-isolated" title="${escaped(request.slide)}"></iframe>`
  }
  const attributes = [['slide', request.slide] as const, ...entries(request.parameters ?? {}, request.options ?? {})]
  return [
    `<script type="module" src="${escaped(new URL('embed.js', site).href)}"></script>`,
    `<token-expressway ${attributes.map(([name, text]) => `${name}="${escaped(text)}"`).join(' ')}></token-expressway>`,
  ].join('\n')
}

function entries(parameters: Readonly<Record<string, string>>, options: EmbedRequest['options']): [string, string][] {
  for (const name of Object.keys(parameters)) {
    if (!NAME.test(name)) throw new RangeError(`"${name}" is no parameter's name: small letters, digits and _`)
    if ((EMBED_OPTIONS as readonly string[]).includes(name)) throw new RangeError(`"${name}" is a word of the address itself, not a parameter`)
  }
  return [...Object.entries(parameters), ...Object.entries(options ?? {})].filter((entry): entry is [string, string] => entry[1] !== undefined)
}

const escaped = (text: string) => text.replace(/&/g, '&amp;').replace(/"/g, '&quot;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
