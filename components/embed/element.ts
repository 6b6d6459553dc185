import { EMBED_OPTIONS, embedAddress, type EmbedRequest } from '$engine/worker/embed-address'
import { message, readFrameMessage, type FrameMessage, type HostMessage } from './messages'

/**
 * <token-expressway slide="10_batch_size_tradeoff" batch="16" hide="callouts,notes"></token-expressway>
 *
 * Puts the slide in an iframe inside itself, as tall as the slide is. Every attribute that is neither HTML's nor one
 * of lens, theme, hide, runner, start, road, slow is a parameter of the slide; one that changes moves the slide without
 * loading it again. What the reader sets is told by an "expressway-state" event; `parameters` holds it.
 */
class TokenExpressway extends HTMLElement {
  /** Texts of the parameters that differ from their defaults, as the reader has set them. */
  parameters: Readonly<Record<string, string>> = {}
  private frame: HTMLIFrameElement | undefined
  private request: EmbedRequest | undefined
  private readonly attributesChange = new MutationObserver(() => this.update())
  private readonly onmessage = (event: MessageEvent<unknown>) => this.hear(event)

  connectedCallback(): void {
    addEventListener('message', this.onmessage)
    this.attributesChange.observe(this, { attributes: true })
    if (getComputedStyle(this).display === 'inline') this.style.display = 'block'
    this.update()
  }

  disconnectedCallback(): void {
    removeEventListener('message', this.onmessage)
    this.attributesChange.disconnect()
    this.frame?.remove()
    this.frame = this.request = undefined
  }

  /** Moves the slide: set({ batch: 32 }). */
  set(parameters: Readonly<Record<string, string | number | boolean>>): void {
    const texts = Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value)]))
    this.say(message<HostMessage>({ type: 'set', parameters: texts }))
  }

  /** Starts the engine on this device, as the reader's own press does. */
  start(): void {
    this.say(message<HostMessage>({ type: 'start' }))
  }

  private update(): void {
    const next = requestOf(this)
    const before = this.request
    if (JSON.stringify(next) === JSON.stringify(before)) return
    this.request = next
    if (this.frame && next && before && next.slide === before.slide && JSON.stringify(next.options) === JSON.stringify(before.options) && next.parameters) {
      this.set(next.parameters)
      return
    }
    this.frame?.remove()
    this.frame = next && this.framed(next)
    if (this.frame) this.append(this.frame)
  }

  private framed(request: EmbedRequest): HTMLIFrameElement {
    const frame = document.createElement('iframe')
    const trust = location.origin === 'null' ? {} : { trust: location.origin }
    frame.src = embedAddress(SITE, { ...request, options: { ...request.options, ...trust } })
    frame.title = this.getAttribute('title') ?? `Token Expressway: ${request.slide.replace(/^\d+_/, '').replaceAll('_', ' ')}`
    frame.loading = 'lazy'
    frame.allow = 'fullscreen; clipboard-write; cross-origin-isolated'
    Object.assign(frame.style, { display: 'block', width: '100%', height: '720px', border: '0' })
    return frame
  }

  private hear(event: MessageEvent<unknown>): void {
    if (!this.frame || event.source !== this.frame.contentWindow || event.origin !== new URL(SITE).origin) return
    const heard = readFrameMessage(event.data)
    if (heard?.type === 'size') this.frame.style.height = `${Math.ceil(heard.height)}px`
    else if (heard) this.told(heard)
  }

  private told({ slide, parameters, shows }: FrameMessage & { type: 'state' }): void {
    this.parameters = parameters
    this.dispatchEvent(new CustomEvent('expressway-state', { bubbles: true, detail: { slide, parameters, shows } }))
  }

  private say(message: HostMessage): void {
    this.frame?.contentWindow?.postMessage(message, new URL(SITE).origin)
  }
}

/** Where this script lies, the deck lies. */
const SITE = new URL(/* @vite-ignore */ './', import.meta.url).href

/** Attributes with a meaning of their own in HTML. */
const HTML = ['class', 'dir', 'exportparts', 'hidden', 'id', 'inert', 'lang', 'nonce', 'part', 'role', 'slide', 'slot', 'style', 'tabindex', 'title', 'translate']

function requestOf(element: Element): EmbedRequest | undefined {
  const slide = element.getAttribute('slide') ?? ''
  if (!/^\d\d_[a-z0-9_]+$/.test(slide)) {
    console.error(`<token-expressway> needs a slide such as slide="10_batch_size_tradeoff", not ${JSON.stringify(slide)}.`)
    return undefined
  }
  const parameters: Record<string, string> = {}
  const options: Record<string, string> = {}
  for (const { name, value } of element.attributes) {
    if (HTML.includes(name) || name === 'trust' || !/^[a-z][a-z0-9_]*$/.test(name)) continue
    if ((EMBED_OPTIONS as readonly string[]).includes(name)) options[name] = value
    else parameters[name] = value
  }
  return { slide, parameters, options }
}

if (!customElements.get('token-expressway')) customElements.define('token-expressway', TokenExpressway)
