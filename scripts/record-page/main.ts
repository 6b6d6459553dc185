import { defaults } from '$components/controls/params'
import type { Experiment } from '$components/frame/experiment'
import { packRecording } from '$components/frame/recording'
import { serialize } from '$components/frame/serial'
import { createEngine } from '$engine/worker/client'

/** Every slide's experiment, by the slide's id. */
const experiments = Object.fromEntries(
  Object.entries(import.meta.glob<Experiment>('../../slides/*/experiment.ts')).map(([path, load]) => [path.split('/').at(-2)!, load]),
)

const engine = serialize(createEngine({ base: new URL('/', location.href).href }))
const opened = engine.open({ runner: 'auto', slow: 1 })

/** What a slide reads on this machine at its own settings, as a file in base64. */
async function record(slide: string): Promise<string> {
  const experiment = await experiments[slide]!()
  const values = defaults(experiment.params)
  let last: unknown
  for await (const reading of experiment.run(values, { engine, profile: await opened, signal: new AbortController().signal, seed: 1, lens: 'here' })) last = reading
  const bytes = await packRecording({ version: 1, slide, values, at: new Date().toISOString(), info: await opened, reading: last })
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return btoa(text)
}

Object.assign(window, { recorder: { slides: Object.keys(experiments), opened, record } })
