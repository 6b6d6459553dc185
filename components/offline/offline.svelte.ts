/** Whether the talk can go on without a network: `ready` once everything is stored on this device. */
class Offline {
  state = $state<'off' | 'storing' | 'ready' | 'failed'>('off')
  /** A newer version is stored and waits until the deck has been closed. */
  update = $state(false)
  private registration: ServiceWorkerRegistration | undefined

  /** Stores the deck, once the reader has seen his first slide: twenty megabytes are not to compete with that. */
  async start(): Promise<void> {
    if (!('serviceWorker' in navigator) || !isSecureContext || (navigator as { connection?: { saveData?: boolean } }).connection?.saveData) return
    const known = navigator.serviceWorker.controller !== null
    if (!known) await firstSlide()
    try {
      const registration = await navigator.serviceWorker.register('./sw.js', { updateViaCache: 'none' })
      this.registration = registration
      this.state = registration.active ? 'ready' : 'storing'
      this.update = registration.waiting !== null
      this.follow(registration.installing)
      registration.addEventListener('updatefound', () => this.follow(registration.installing))
    } catch {
      // Storage that is denied: the deck works, with a network.
      this.state = 'failed'
    }
  }

  /** Loads the newer version, in all windows of the deck. */
  takeOver(): void {
    navigator.serviceWorker.addEventListener('controllerchange', () => location.reload(), { once: true })
    this.registration?.waiting?.postMessage('take over')
  }

  private follow(worker: ServiceWorker | null): void {
    worker?.addEventListener('statechange', () => {
      if (worker.state === 'activated') this.state = 'ready'
      else if (worker.state === 'installed' && this.registration?.active) this.update = true
      else if (worker.state === 'redundant' && this.state === 'storing') this.state = 'failed'
    })
  }
}

export const offline = new Offline()

/** How often it is looked, for how long at most, and how long the first run is left alone besides, ms. */
const [LOOK_EVERY_MS, AT_MOST_MS, LEFT_ALONE_MS] = [500, 30_000, 4000]

async function firstSlide(): Promise<void> {
  const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
  for (let waited = 0; waited < AT_MOST_MS && !document.querySelector('section[data-ready="true"]'); waited += LOOK_EVERY_MS) await wait(LOOK_EVERY_MS)
  await wait(LEFT_ALONE_MS)
}
