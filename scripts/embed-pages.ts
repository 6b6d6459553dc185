import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { build, type Plugin } from 'vite'
import { embedCode } from '../engine/worker/embed-address.ts'

/** What a page's head says of a slide. */
interface SlideHead {
  id: string
  headline: string
  description: string
}

/** Scripts, styles and fetches of this site alone; WebAssembly compiles, styles may stand on elements (KaTeX's do). No page may add to it. */
const POLICY = [
  "default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "style-src 'self'", "style-src-attr 'unsafe-inline'", "img-src 'self' data: blob:",
  "font-src 'self' data:", "connect-src 'self'", "worker-src 'self'", "base-uri 'none'", "form-action 'none'",
].join('; ')

/** The frame that an oEmbed consumer makes; the slide's own height comes by message where its page listens. */
const FRAME = { width: 800, height: 900 }

/** Slides as deck.ts and their notes have them. */
export function slideHeads(root: string): SlideHead[] {
  const deck = readFileSync(join(root, 'slides/deck.ts'), 'utf8')
  return [...deck.matchAll(/^ {4}id: '([^']+)',\n {4}headline: '([^']+)',/gm)].map(([, id, headline]) => {
    const notes = readFileSync(join(root, 'slides', id!, 'notes.md'), 'utf8')
    return { id: id!, headline: headline!, description: notes.split(/\n\s*\n/, 1)[0]!.replace(/\s*\[set [^\]]*\]/g, '').replace(/\s+/g, ' ').trim() }
  })
}

/**
 * A page for each slide, SITE/embed/SLIDE/index.html, with its card and its oEmbed; SITE/embed.js, one file with the
 * <token-expressway> element in it. `site`: the address the deck will have, for the absolute addresses that cards and oEmbed
 * ask for; without it they are relative.
 */
export function embedPages(root: string, site = process.env['EXPRESSWAY_SITE']): Plugin {
  const slides = slideHeads(root)
  const pages = new Map(slides.map((slide) => [join(root, 'embed', slide.id, 'index.html'), slide]))
  let outDir = ''
  let base: string | undefined
  if (site) base = site.endsWith('/') ? site : `${site}/`

  return {
    name: 'expressway:embed',
    configResolved: (config) => void (outDir = resolve(config.root, config.build.outDir)),
    resolveId: (id) => (pages.has(resolve(root, id)) ? resolve(root, id) : null),
    load: (id) => (pages.has(id) ? pageOf(root, pages.get(id)!, base) : null),
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const path = new URL(request.url ?? '/', 'http://loopback').pathname
        const slide = slides.find(({ id }) => path === `/embed/${id}/`)
        if (path === '/embed.js') {
          response.setHeader('Content-Type', 'text/javascript')
          response.setHeader('Access-Control-Allow-Origin', '*')
          response.end(`import '/components/embed/element.ts'\n`)
        } else if (slide) {
          // The development client is inline script and opens a socket.
          const page = pageOf(root, slide, base).replace(/ *<meta http-equiv="Content-Security-Policy"[^>]*>\n/, '')
          server.transformIndexHtml(path, page).then((html) => response.setHeader('Content-Type', 'text/html').end(html), next)
        } else next()
      })
    },
    generateBundle: {
      order: 'post',
      handler() {
        for (const slide of slides) this.emitFile({ type: 'asset', fileName: `embed/${slide.id}/oembed.json`, source: `${JSON.stringify(oEmbed(slide, base), null, 2)}\n` })
      },
    },
    async writeBundle() {
      if (this.environment.config.build.ssr) return
      await build({
        configFile: false, root, logLevel: 'warn', publicDir: false,
        resolve: { alias: { $engine: join(root, 'engine') } },
        build: {
          outDir, emptyOutDir: false, target: 'es2022', reportCompressedSize: false,
          lib: { entry: join(root, 'components/embed/element.ts'), formats: ['es'], fileName: () => 'embed.js' },
        },
      })
    },
  }
}

/** Inputs of the build, by name. */
export function embedInputs(root: string): Record<string, string> {
  return Object.fromEntries(readdirSync(join(root, 'slides'), { withFileTypes: true }).filter((e) => e.isDirectory()).map(({ name }) => [`embed-${name}`, join(root, 'embed', name, 'index.html')]))
}

function pageOf(root: string, slide: SlideHead, base: string | undefined): string {
  const page = `embed/${slide.id}/`
  const address = (path: string) => (base ? new URL(path, base).href : relative(page, path))
  const card = [`assets/cards/${slide.id}.jpg`, 'assets/cards/00_cover.jpg'].find((path) => existsSync(join(root, path)))
  const title = `${slide.headline} · Token Expressway`
  const meta = (property: string, content: string) => `    <meta ${property.startsWith('og:') ? 'property' : 'name'}="${property}" content="${escaped(content)}" />\n`
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta http-equiv="Content-Security-Policy" content="${POLICY}" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>${escaped(title)}</title>
    <link rel="icon" href="data:," />
    <meta name="expressway:slide" content="${slide.id}" />
${[
  meta('description', slide.description), meta('og:type', 'website'), meta('og:site_name', 'Token Expressway'), meta('og:title', slide.headline), meta('og:description', slide.description),
  ...(base ? [meta('og:url', new URL(page, base).href)] : []),
  ...(card ? [meta('og:image', address(card)), meta('og:image:type', 'image/jpeg'), meta('og:image:width', '1200'), meta('og:image:height', '675'), meta('og:image:alt', `The slide: ${slide.headline}`), meta('twitter:card', 'summary_large_image')] : []),
].join('')}    <link rel="alternate" type="application/json+oembed" href="${base ? new URL(`${page}oembed.json`, base).href : './oembed.json'}" title="${escaped(title)}" />
  </head>
  <body>
    <div id="app"></div>
    <noscript>This slide runs a language model in the page and draws what it does: it needs JavaScript.</noscript>
    <script type="module" src="/slides/embed.ts"></script>
  </body>
</html>
`
}

/** https://oembed.com, version 1.0, type rich. */
function oEmbed(slide: SlideHead, base: string | undefined): object {
  const site = base ?? 'https://site.invalid/'
  const here = (text: string) => (base ? text : text.replaceAll('https://site.invalid/', '../../'))
  return {
    type: 'rich', version: '1.0', title: slide.headline, provider_name: 'Token Expressway', provider_url: here(site),
    thumbnail_url: here(new URL(`assets/cards/${slide.id}.jpg`, site).href), thumbnail_width: 1200, thumbnail_height: 675, ...FRAME,
    html: here(embedCode(site, { slide: slide.id }, 'iframe')).replace('height="720"', `height="${FRAME.height}"`),
  }
}

const escaped = (text: string) => text.replace(/&/g, '&amp;').replace(/"/g, '&quot;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
