/**
 * The road. `<Expressway {trace} at={playhead.at} />` draws a moment of a Trace; options:
 *
 * - `layout={{ roads, regions, longLane, experts }}`: what stands in the world (site.ts). Events and steps of a
 *   Trace name their replica; replica r drives on road r. Left out, there are as many roads as replicas.
 * - `camera`: a stop (stops.ts). The camera travels there from where the slide before looked.
 * - `follow`: a request to mark, or 'longest-trailer'. `capacity`: cars at once to make room for on a road.
 * - `expertLoad`: share of the tokens that each expert gets, with `layout.experts`.
 * - `labels`, `subline`, `roadline`: words beside the roads. `pickable`, `onpick`: pick a car, see its ruler.
 * - `drawing="svg"`: for paper and for embeds that are to stay light; else WebGL where there is some.
 */
export { default as Expressway } from './Expressway.svelte'
export { scene, type Car, type Counts, type Phase, type RoadState, type Scene } from './scene'
export { type Region, type SiteOptions } from './site'
export { type StopName } from './stops'
export { sentence } from './words'
