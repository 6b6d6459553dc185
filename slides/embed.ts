import { mount } from 'svelte'
import Embed from '$components/embed/Embed.svelte'
import { createEngine } from '$engine/worker/client'
import { deck } from './deck'

const id = document.querySelector('meta[name="expressway:slide"]')!.getAttribute('content')
const slide = deck.find((s) => s.id === id)!
// SITE/embed/SLIDE/
const site = new URL('../../', location.href.split(/[?#]/, 1)[0]!).href

mount(Embed, { target: document.getElementById('app')!, props: { slide, site, createEngine: () => createEngine({ base: site }) } })
