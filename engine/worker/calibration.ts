import { clockResolution, measureDecode, measureDevice, measurePrefill, timingParameters } from '../measure/calibrate'
import type { RoofProbe } from '../runner/probe'
import type { Model } from '../model/weights'
import { RUNNERS, type EngineRunner } from '../runner/create'
import type { Runner, RunnerOptions } from '../runner/runner'
import type { Tuning } from '../runner/webgpu/tuning'
import type { Clock } from '../serving/clock'
import type { Roofs } from '../trace/trace'
import { EngineError, type Calibration, type Progress, type RunnerCalibration } from './protocol'
import type { CalibrationStore } from './store'

export interface MeasureEnvironment {
  createRunner(kind: EngineRunner, model: Model, options?: RunnerOptions): Promise<Runner>
  createProbe(kind: EngineRunner): Promise<RoofProbe>
  /** Finds the best kernels of a runner that has several to choose from. */
  tune?(kind: EngineRunner, clock: Clock): Promise<Tuning | undefined>
  cores: number
  /** Cross-origin isolated: threads and a 5-µs clock. */
  isolated: boolean
  memoryBytes: number
}

interface CalibrateOptions {
  clock: Clock
  slow: number
  wanted: EngineRunner | 'auto'
  recalibrate: boolean
  /** Loads a trained model by name. */
  text: (name: string) => Promise<Model>
  store: CalibrationStore
  onProgress: (p: Progress) => void
}

/** A model quick to load, to tell which runner is fastest and what the reference runner speaks. */
const TEXT_MODEL: Record<EngineRunner, string> = { webgpu: 'tales-5m', wasm: 'tales-5m', reference: 'tales-0.3m' }

/**
 * Finds out what works on this device and how fast it is, or takes it from an earlier visit. Decode of
 * the default model decides which runner is used; the roofs are measured for that one alone.
 */
export async function calibrate(environment: MeasureEnvironment, options: CalibrateOptions): Promise<{ calibration: Calibration; kind: EngineRunner; notice?: string }> {
  const { wanted, store, onProgress } = options
  const key = calibrationKey(environment, options)
  const kept = options.recalibrate ? undefined : await store.get(key)
  const calibration = kept ?? (await measure(environment, options))
  if (!kept) await store.set(key, calibration)
  onProgress({ done: 1, doing: 'Ready' })

  const kind = calibration.runners[0]!.device.runner as EngineRunner
  const refused = wanted !== 'auto' && wanted !== kind
  return {
    calibration,
    kind,
    notice: refused ? `${calibration.unavailable[wanted] ?? `${wanted} does not work here.`} Running on ${kind} instead.` : undefined,
  }
}

/** Name that a calibration is kept under. */
export function calibrationKey({ cores, isolated }: MeasureEnvironment, { wanted, slow }: Pick<CalibrateOptions, 'wanted' | 'slow'>): string {
  return ['v1', wanted, cores, isolated, slow].join(' ')
}

/** The roofs a runner's steps are judged against, measured through that runner. */
export async function measureRunnerRoofs(environment: MeasureEnvironment, kind: EngineRunner, clock: Clock, onProgress: (done: number, doing: string) => void = () => {}): Promise<Roofs> {
  const probe = await environment.createProbe(kind)
  try {
    return await measureDevice(probe, (model) => environment.createRunner(kind, model, { blocks: 64 }), clock, onProgress)
  } finally {
    probe.dispose()
  }
}

async function measure(environment: MeasureEnvironment, { clock, slow, wanted, text, onProgress }: CalibrateOptions): Promise<Calibration> {
  const unavailable: Calibration['unavailable'] = {}
  const found: RunnerCalibration[] = []
  // The reference runner always works; it is measured only when it is wanted or nothing else does.
  // WebAssembly goes first: against its figure a software adapter is seen to have lost before it is watched prefilling.
  const candidates: EngineRunner[] = wanted === 'auto' ? ['wasm', 'webgpu'] : [wanted]
  const rest = RUNNERS.filter((k) => !candidates.includes(k))
  for (const kind of [...candidates, ...rest]) {
    if (found.length > 0 && rest.includes(kind)) break
    onProgress({ done: 0.05 + 0.15 * found.length, doing: `Trying ${kind}` })
    try {
      found.push(await measureRunner(kind))
    } catch (error) {
      unavailable[kind] = error instanceof Error ? error.message : String(error)
    }
  }
  if (found.length === 0) throw new EngineError(`No runner works here. ${Object.values(unavailable).join(' ')}`, 'no-runner')
  const fastestFirst = () => found.sort((a, b) => a.decodeMs - b.decodeMs)
  if (fastestFirst()[0]!.device.software && found[1]) {
    // It does so in a busy moment only: the other one gets a second chance.
    onProgress({ done: 0.35, doing: `Trying ${found[1].device.runner} again` })
    const again = await measureRunner(found[1].device.runner as EngineRunner)
    if (again.decodeMs < found[1].decodeMs) found[1] = again
    fastestFirst()
  }

  const best = found[0]!
  const kind = best.device.runner as EngineRunner
  // A software adapter's kernels are known, and trying others on it would take longer than it saves.
  let tuning: Tuning | undefined
  if (environment.tune && !best.device.software) {
    onProgress({ done: 0.38, doing: 'Trying kernels' })
    tuning = await environment.tune(kind, clock)
  }
  best.roofs = await measureRunnerRoofs(environment, kind, clock, (done, doing) => onProgress({ done: 0.4 + 0.6 * done, doing }))
  return {
    version: 1,
    at: new Date().toISOString(),
    slow,
    cores: environment.cores,
    isolated: environment.isolated,
    resolution: clockResolution() * slow,
    runners: found,
    unavailable,
    timingParameters: timingParameters(kind, best.roofs, environment.memoryBytes),
    textModel: TEXT_MODEL[kind],
    tuning,
  }

  async function measureRunner(kind: EngineRunner): Promise<RunnerCalibration> {
    const runner = await environment.createRunner(kind, await text(TEXT_MODEL[kind]), { blocks: 64 })
    try {
      const decodeMs = await measureDecode(runner, clock)
      // A software adapter that already lost by far need not be watched prefilling.
      const lost = found.some((f) => f.decodeMs * 4 < decodeMs)
      return { device: runner.device, decodeMs, prefillMs: lost ? undefined : await measurePrefill(runner, clock) }
    } finally {
      runner.dispose()
    }
  }
}
