import { machineCost, withInt8Cache, type Machine } from '../cost/machine'
import { modelSpec, totalParameters } from '../cost/models'
import { lensMachine, type Lens } from './lens'
import type { DeviceInfo } from '../trace/provenance'
import { EngineError, type Engine, type EngineInfo } from './protocol'

/**
 * An engine that serves on another machine than this one, in virtual time: the same workloads, the same
 * scheduler, Traces that say modelled or recorded. `base` lends its simulator and the texts that its live
 * model wrote; it need not be open, and is closed with this one.
 */
export function createLensEngine(base: Engine, lens: Exclude<Lens, { kind: 'here' }>, readProfile: (name: string) => Promise<unknown>): Engine {
  let found: Promise<Machine> | undefined
  const machine = () => (found ??= lensMachine(lens, readProfile).catch((error: unknown) => {
    found = undefined
    throw new EngineError(`This lens cannot be looked through: ${(error as Error).message}.`, 'scenario', { cause: error })
  }))
  return {
    async open(_options, onProgress) {
      const info = infoOf(await machine())
      onProgress?.({ done: 1, doing: 'Ready' })
      return info
    },
    serve: async (workload, options) => base.serve(workload, { ...options, on: options?.on ?? (await machine()) }),
    machine: async (of) => (typeof of === 'object' && of.kv === 'int8' ? withInt8Cache(await machine()) : machine()),
    quality: (request, options) => base.quality(request, options),
    cascade: () => Promise.reject(new EngineError('A machine in virtual time writes no answers: ask simulate for a scenario with a cascade.', 'model')),
    simulate: (request, options) => base.simulate(request, options),
    curve: (request, options) => base.curve(request, options),
    bring: () => Promise.reject(new EngineError('A model of your own runs on this device: look at it through the lens "here".', 'model')),
    close: () => base.close(),
  }
}

/** What a machine of known costs says of itself where a device says what it measured. */
function infoOf(machine: Machine): EngineInfo {
  const cost = machineCost(machine)
  const { provenance, roofs } = machine
  const device: DeviceInfo = 'device' in provenance ? provenance.device : {
    name: provenance.how === 'modelled' ? provenance.hardware : machine.label,
    runner: 'recorded',
    model: provenance.how === 'modelled' ? provenance.model : machine.label,
  }
  const parameters = 'catalogue' in machine.model ? totalParameters(modelSpec(machine.model.catalogue)) : 0
  return {
    device,
    calibration: {
      version: 1, at: 'at' in provenance ? provenance.at : new Date(0).toISOString(), slow: 1, cores: 1, isolated: true, resolution: machine.resolution ?? 0,
      runners: [{ device, decodeMs: cost.step(1, 64, 0, 0), prefillMs: cost.step(0, 0, 256, (256 * 256) / 2) / 256, roofs }],
      unavailable: {}, timingParameters: parameters, textModel: 'tales-5m',
    },
  }
}
