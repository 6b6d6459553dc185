import type { DeviceInfo, RunnerName } from '../trace/provenance'
import type { Event, Milliseconds, RequestRecord, Roofs, Step, Trace } from '../trace/trace'
import type { KvPrecision, Sampling, WeightPrecision } from '../runner/runner'
import type { Tuning } from '../runner/webgpu/tuning'
import type { SpeculateOptions } from '../speculate/options'
import type { Machine } from '../cost/machine'
import type { Divergence } from '../measure/quality'
import type { StepFit } from '../cost/step-fit'
import type { ScenarioJson } from '../serving/scenario'
import type { SimulationResult } from '../serving/simulate'
import type { LoggedRequest } from '../serving/trace-files'
import type { Provenance } from '../trace/provenance'

export type { Machine } from '../cost/machine'
export type { StepFit } from '../cost/step-fit'
export type { ScenarioJson } from '../serving/scenario'
export type { LoggedRequest } from '../serving/trace-files'
export type { SimulationResult, Spread } from '../serving/simulate'

/** A request as the page asks for it. */
export interface WorkloadRequest {
  /** Scheduled arrival, ms after the run starts (default 0). */
  arrival?: Milliseconds
  /** Text for a trained model, or a number of tokens (a curated text cut or repeated to that length; random ids for the timing model). */
  prompt: string | number
  /** Output tokens at most. */
  maxTokens: number
  /** Absent: greedy. */
  sampling?: Sampling
  /** Go on past the end-of-text token, so that the output has exactly maxTokens (timing runs). */
  ignoreEos?: boolean
  /** Round-trip time to the client, ms; half of it is added on either side. */
  rtt?: Milliseconds
  /**
   * Positions before the prompt that are declared present without being computed, so that decode at a long
   * context can be timed at once. The text then means nothing: the request is marked timing only.
   */
  context?: number
}

export interface Workload {
  /** 'tales-5m', another folder of assets/models, 'own' for the reader's model, or 'timing' for the calibrated timing model. */
  model: string
  requests: WorkloadRequest[]
  /** Sequences in one step at most (default: what the runner takes). */
  maxSequences?: number
  /** Token budget of a step (default: 512, what runners take by themselves; for a larger one the live engine makes room). */
  maxBatchedTokens?: number
  /** How steps are put together (default: continuous). */
  policy?: 'continuous' | 'prefill-first' | 'static'
  /** Precision of the weights and of keys and values (default: f32). */
  weights?: WeightPrecision
  kv?: KvPrecision
  /** KV blocks in the pool, 16 positions each (default 4096); few of them make requests give way to each other. */
  kvBlocks?: number
  /** Timing model: parameters, about (default: the calibrated size). */
  parameters?: number
  /** Timing model: key and value heads (default: one for four query heads). */
  kvHeads?: number
  /** Timing model: a mixture of so many experts (default: dense). */
  experts?: number
  /** Mixture of experts: experts a token is sent to (default: the model's own number). */
  expertsPerToken?: number
  /** Steps also say which experts each token went to. */
  wantExperts?: boolean
  /** The tokenizer is timed as well, both ways, over a stretch that the clock can tell (trained models; some 50 ms). */
  timeText?: boolean
  /** Tokens are guessed ahead and verified many at a time; absent: plain decoding. */
  speculate?: SpeculateOptions & {
    /** Model that drafts (default: 'tales-0.3m'; 'self' takes the target itself); lookup needs none. */
    draft?: string
  }
  /** Prompts that begin like an earlier one use its keys and values again. */
  prefixCache?: boolean | {
    /** How long unused prefixes are kept, ms (default: until the room is needed). */
    ttl?: Milliseconds
    /** Also use what earlier workloads on this model left (default false: begins empty). */
    keep?: boolean
  }
}

/** What came in since the last update; a Trace is their concatenation. */
export interface TraceUpdate {
  requests: RequestRecord[]
  events: Event[]
  steps: Step[]
}

/** What this device measured of itself; kept in IndexedDB, shown on the cover. */
export interface Calibration {
  version: 1
  at: string
  /** Factor the clock was stretched by. */
  slow: number
  cores: number
  isolated: boolean
  /** Smallest difference the clock can tell, ms. */
  resolution: Milliseconds
  /** Runners that work here, fastest first by decode. */
  runners: RunnerCalibration[]
  /** Why the others do not: name → sentence. */
  unavailable: Partial<Record<RunnerName, string>>
  /** Size of the timing model for the runner in use, parameters. */
  timingParameters: number
  /** What steps take with a model on a runner, by "runner model", as far as somebody asked. */
  fits?: Record<string, { fit: StepFit; at: string }>
  /** Model whose text this runner is quick enough for: 'tales-5m', or 'tales-0.3m' on the reference runner. */
  textModel: string
  /** Which of the runner's kernels were found best here, and all that was tried. */
  tuning?: Tuning
}

export interface RunnerCalibration {
  device: DeviceInfo
  /** Decode of tales-5m at batch 1, ms a token. */
  decodeMs: Milliseconds
  /** Prefill of tales-5m, ms a token, chunk of 256; measured for the runner in use. */
  prefillMs?: Milliseconds
  /** Measured for the runner in use. */
  roofs?: Roofs
}

export interface Progress {
  /** 0 … 1. */
  done: number
  /** "Reading 64 MB" */
  doing: string
}

export interface OpenOptions {
  /** 'auto' picks the fastest that works here. What was recorded needs no engine. */
  runner: Exclude<RunnerName, 'recorded' | 'endpoint'> | 'auto'
  slow: number
  /** Do not use what an earlier visit measured. */
  recalibrate?: boolean
}

export interface EngineInfo {
  /** The runner in use. */
  device: DeviceInfo
  calibration: Calibration
  /** What was wanted and could not be had, in a sentence for the page; absent when all is as asked. */
  notice?: string
  /** The reader's own model, where one was brought: it stands in for tales-5m. */
  own?: OwnModel
}

/** A Hugging Face model folder on the reader's machine. Its files are read by the engine's worker and go nowhere else. */
export interface ModelFolder {
  name: string
  files: readonly { name: string; file: Blob }[]
}

export interface OwnModel {
  /** As Traces call it: "Qwen2.5-0.5B (own)". */
  name: string
  parameters: number
}

/** A model, or a model and how it is held: what a machine is asked for with. */
export type MachineRequest = string | Pick<Workload, 'model' | 'weights' | 'kv' | 'parameters'>

/** As much of a machine as serving in virtual time needs: a server known by its log has no more. */
export type ServingMachine = Pick<Machine, 'label' | 'provenance' | 'steps' | 'limits'> & Partial<Machine>

/** A scenario to be served in virtual time. */
export interface SimulateRequest {
  /** As in a scenario file; keys left out take their defaults. */
  scenario: ScenarioJson
  /** Whose steps and limits; what the scenario's own `scheduler` says goes before its limits. Absent: the scenario has steps or a service itself. */
  machine?: ServingMachine
  /** Requests as a log has them, in order of arrival, for a scenario whose arrivals are a trace. */
  requests?: readonly LoggedRequest[]
  /** Rate as a share of what the machine sustains with such requests, in place of arrivals.rate. */
  load?: number
  /** Keep a Trace of every so-many-th request (1: of all, with its steps). */
  traceEvery?: number
}

export interface Simulated {
  summary: SimulationResult
  provenance: Provenance
  /** Once all is over, where one was asked for. */
  trace?: Trace
}

/** One parameter over many values. */
export interface CurveRequest extends Omit<SimulateRequest, 'traceEvery' | 'requests'> {
  /** 'load' (rate as a share of what is sustained), or the path of a number in the scenario ('replicas'). */
  vary: string
  values: readonly number[]
  /** The figure whose band is to become narrow (default ttft_ms). */
  figure?: CurveFigure
  /** Half the 95 % band of mean and p99 against their values, at most (default 0.1). */
  within?: number
}

export type CurveFigure = 'wait_ms' | 'ttft_ms' | 'tpot_ms' | 'e2e_ms'

export interface CurvePoint {
  x: number
  summary: SimulationResult
  figure: CurveFigure
  /** Requests measured so far. */
  requests: number
  /** Half the wider of the two bands against its value. */
  width: number
  /** False where more comes than can be served: the figures then grow with the length of the run. */
  stable: boolean
  /** Nothing more is to come of this point. */
  settled: boolean
}

export interface Curve {
  /** In the order of the values. */
  points: CurvePoint[]
  /** Requests per second that are sustained, where a load was asked for. */
  capacity?: number
  provenance: Provenance
  /** All points are. */
  settled: boolean
}

/** How well a trained model reads a passage of this project's own writing in some precision. */
export interface QualityRequest {
  model: string
  weights?: WeightPrecision
  kv?: KvPrecision
}

export interface Quality {
  provenance: Provenance
  /** Tokens predicted, and the bytes they stand for. */
  tokens: number
  bytes: number
  bitsPerByte: number
  /** Against the same model in f32: nats a token, and the share of positions with the same first choice. */
  divergence: Divergence
  /** Values of one matrix as trained and as stored. */
  weights: WeightHistogram
}

/** Counts in equal columns from `from` to `to`, before and after. */
export interface WeightHistogram {
  /** "layer 3, gate" */
  of: string
  /** 'step': values in steps of their group's scale, so that the codes are whole numbers. */
  unit: 'value' | 'step'
  from: number
  to: number
  before: number[]
  after: number[]
}

/** A small model answers first, and where it is not sure a large one does: on pieces of the passage, whose next words are known. */
export interface CascadeRequest {
  small: string
  large: string
}

/** One piece: what each of the two makes of it. Every threshold's cascade is put together of these, since greedy answers do not change. */
export interface CascadeCase {
  /** What was to be continued. */
  prompt: string
  /** What really came next: its bytes, and the bits that each model needs for them. */
  bytes: number
  bits: { small: number; large: number }
  /** Before any answer: how sure the small model is while it reads the prompt, 0 … 1, and how long it reads. */
  router: { confidence: number; ms: Milliseconds }
  /** Its own answer: how sure it is of the first tokens (`judged` of them), ms until they are judged, and until the answer is whole. */
  small: { confidence: number; judged: number; texts: string[]; judgedMs: Milliseconds; ms: Milliseconds }
  large: { texts: string[]; ms: Milliseconds }
}

export interface Cascaded {
  provenance: Provenance
  small: string
  large: string
  /** Tokens of a prompt, and of a whole answer. */
  promptTokens: number
  answerTokens: number
  cases: CascadeCase[]
  complete: boolean
}

/** What a Trace says besides what happened; known before the first step. */
export type TraceHeader = Omit<Trace, 'requests' | 'events' | 'steps'>

/**
 * The engine as the page sees it. Implemented by the worker client, by a recorded profile, and by
 * tests; slides know nothing else.
 */
export interface Engine {
  /** `onChange` is called when the engine has to go on with something else than it began with (device lost, out of memory). */
  open(options: OpenOptions, onProgress?: (p: Progress) => void, onChange?: (info: EngineInfo) => void): Promise<EngineInfo>
  /**
   * Runs a workload and resolves with its whole Trace. Updates arrive at most once a frame.
   * Aborting stops at the next step; the promise then rejects with the signal's reason.
   * With `on` it is served in virtual time by the step costs of that machine: the same scheduler, at once.
   */
  serve(workload: Workload, options?: { signal?: AbortSignal; onUpdate?: (update: TraceUpdate, soFar: Trace) => void; on?: Machine }): Promise<Trace>
  /**
   * This machine with a model ('tales-5m', 'timing'), as simulations know it: its step costs are measured
   * when first asked for (some seconds, after live runs under way) and kept with the calibration.
   */
  machine(of: MachineRequest, options?: { signal?: AbortSignal; onProgress?: (p: Progress) => void }): Promise<Machine>
  /** Reads a passage with a trained model in some precision, in turn with runs. Rejects as `serve`. */
  quality(request: QualityRequest, options?: { signal?: AbortSignal }): Promise<Quality>
  /** Lets a small and a large trained model answer piece after piece of the passage, in turn with runs. Rejects as `serve`. */
  cascade(request: CascadeRequest, options?: { signal?: AbortSignal; onUpdate?: (soFar: Cascaded) => void }): Promise<Cascaded>
  /** Serves a scenario in virtual time. Does not wait for live runs. Aborting rejects with the signal's reason within a frame. */
  simulate(request: SimulateRequest, options?: { signal?: AbortSignal; onUpdate?: (soFar: Simulated) => void }): Promise<Simulated>
  /**
   * A figure over many values of one parameter: all points roughly within a third of a second, then ever
   * more sure; resolves once every band is narrow. Aborting as `simulate`.
   */
  curve(request: CurveRequest, options?: { signal?: AbortSignal; onUpdate?: (soFar: Curve) => void }): Promise<Curve>
  /**
   * Loads the reader's own model, which from then on is what workloads on 'tales-5m' run on (also by the name 'own');
   * undefined: back to the shipped one. Waits for runs under way. Rejects with EngineError('model') naming the file and its
   * fault; what was in use stays then.
   */
  bring(folder: ModelFolder | undefined, onProgress?: (p: Progress) => void): Promise<EngineInfo>
  close(): void
}

/** Errors that cross the wall keep their name, code and words. */
export class EngineError extends Error {
  constructor(
    message: string,
    readonly code: 'no-runner' | 'model' | 'prompt' | 'scenario' | 'out-of-memory' | 'device-lost' | 'worker-crashed' | 'internal',
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.name = 'EngineError'
  }
}
