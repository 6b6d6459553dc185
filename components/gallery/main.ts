import '$theme/index.css'
import { mount } from 'svelte'
import Gallery from './Gallery.svelte'

const query = new URLSearchParams(location.search)
document.documentElement.dataset.theme = query.get('theme') === 'dark' ? 'dark' : 'light'
if (matchMedia('(max-width: 700px)').matches) document.documentElement.dataset.layout = 'page'

mount(Gallery, { target: document.getElementById('gallery')! })
