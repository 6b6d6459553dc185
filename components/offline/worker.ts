/// <reference lib="webworker" />
import { addPlugins, cleanupOutdatedCaches, precacheAndRoute, type PrecacheEntry } from 'workbox-precaching'

/**
 * The deck's service worker: everything that the talk needs, models and recordings too, is stored on the first visit
 * and answered from the store. A new version is fetched beside the old one and takes over when the last window of the deck has been closed,
 * or when somebody asks for it: never in the middle of a talk.
 */
declare const self: ServiceWorkerGlobalScope

/** Put in by the build: every file, with its revision where its name has none. */
declare const PRECACHE: PrecacheEntry[]

/** Where the host sends no headers, the answers of the store isolate the page: threads and a finer clock from the second visit on. */
const ISOLATION = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp', 'Cross-Origin-Resource-Policy': 'cross-origin' }

addPlugins([{
  handlerWillRespond: ({ response }) => {
    const headers = new Headers(response.headers)
    for (const [name, value] of Object.entries(ISOLATION)) headers.set(name, value)
    return Promise.resolve(new Response(response.body, { status: response.status, statusText: response.statusText, headers }))
  },
}])
// What the page's query says is for the page.
precacheAndRoute(PRECACHE, { ignoreURLParametersMatching: [/.*/] })
cleanupOutdatedCaches()

self.addEventListener('message', (event) => {
  if (event.data === 'take over') void self.skipWaiting()
})
// The window of the first visit is served from now on too: its later slides are still to be fetched.
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()))
