import { mount } from 'svelte'
import App from '$components/frame/App.svelte'
import { createEngine } from '$engine/worker/client'
import { offline } from '$components/offline/offline.svelte'
import { deck } from './deck'

mount(App, { target: document.getElementById('app')!, props: { deck, createEngine } })

// In development the newest is wanted, always; the speaker's previews are windows of the same deck.
if (import.meta.env.PROD && parent === window) void offline.start()
