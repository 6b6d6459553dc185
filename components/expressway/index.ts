export { default as Expressway } from './Expressway.svelte'
export { scene, type Car, type Counts, type Phase, type Scene } from './scene'
export { sentence } from './words'
export { type StopName } from './stops'
