import { catalogueMachine, checkNames, recordedMachine, type Machine, type RecordedProfile } from '../cost/machine'

export { catalogueMachine, machineCache, machineCost, recordedMachine, withInt8Cache, type RecordedProfile } from '../cost/machine'

/** Through which machine experiments are seen: this device, a recorded one, or any of the catalogue. */
export type Lens =
  | { kind: 'here' }
  | { kind: 'recorded'; name: string }
  | { kind: 'catalogue'; hardware: string; model: string; tensorParallel: number }

export const HERE: Lens = { kind: 'here' }

/** What 'datacentre' means unless the address says otherwise. */
export const DATACENTRE: Lens = { kind: 'catalogue', hardware: 'h100-sxm', model: 'llama-3.1-8b', tensorParallel: 1 }

/**
 * Reads a lens: `here`, `recorded:NAME`, or `HARDWARE/MODEL` of the catalogue with an optional ending `x8`
 * for tensor parallelism. Throws RangeError in words.
 */
export function parseLens(text: string): Lens {
  if (text === 'here') return HERE
  const recorded = /^recorded:([a-z0-9][a-z0-9.-]*)$/.exec(text)
  if (recorded) return { kind: 'recorded', name: recorded[1]! }
  const catalogue = /^([a-z0-9.-]+?)\/([a-z0-9.-]+?)(?:x(\d+))?$/.exec(text)
  if (!catalogue) throw new RangeError(`a lens is here, recorded:NAME, or HARDWARE/MODEL such as h100-sxm/llama-3.1-8b, not "${text}"`)
  const [, hardware, model, times] = catalogue
  const tensorParallel = Number(times ?? 1)
  if (!(tensorParallel >= 1 && tensorParallel <= 1024)) throw new RangeError(`x${times} is no number of devices`)
  checkNames(hardware!, model!)
  return { kind: 'catalogue', hardware: hardware!, model: model!, tensorParallel }
}

/** As it stands in the address. */
export function lensText(lens: Lens): string {
  switch (lens.kind) {
    case 'here': return 'here'
    case 'recorded': return `recorded:${lens.name}`
    case 'catalogue': return `${lens.hardware}/${lens.model}${lens.tensorParallel > 1 ? `x${lens.tensorParallel}` : ''}`
  }
}

/** The machine behind a lens other than `here`. `readProfile` reads NAME.json of assets/profiles. Throws RangeError in words. */
export async function lensMachine(lens: Exclude<Lens, { kind: 'here' }>, readProfile: (name: string) => Promise<unknown>): Promise<Machine> {
  if (lens.kind === 'catalogue') return catalogueMachine(lens)
  let profile: unknown
  try {
    profile = await readProfile(lens.name)
  } catch (cause) {
    throw new RangeError(`there is no recorded machine "${lens.name}": ${(cause as Error).message}`, { cause })
  }
  return recordedMachine(profile as RecordedProfile)
}
