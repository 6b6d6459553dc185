import { mount } from 'svelte'
import App from '$components/frame/App.svelte'
import { createEngine } from '$engine/worker/client'
import { deck } from './deck'

mount(App, { target: document.getElementById('app')!, props: { deck, createEngine } })
