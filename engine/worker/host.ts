import { calibrate, calibrationKey, measureRunnerRoofs, type MeasureEnvironment } from './calibration'
import { machineHeld, type Machine } from '../cost/machine'
import { fitSteps } from '../cost/step-fit'
import { sweep } from '../measure/sweep'
import { loadModel, type LoadedModel, type ReadFile } from '../model/load'
import { kvBytesPerToken, ModelError, parameterCount } from '../model/config'
import { pcg } from '../model/random'
import { timingModel } from '../model/synthetic'
import type { Model } from '../model/weights'
import { refusedPrecision, type EngineRunner } from '../runner/create'
import { BLOCK_SIZE, RunnerError, type Runner } from '../runner/runner'
import { BlockPool } from '../serving/blocks'
import { PrefixCache } from '../serving/prefix-cache'
import { PrefixIds } from '../serving/prefix-ids'
import { serve, type ServeRequest } from '../serving/serve'
import { WallClock, type Clock } from '../serving/clock'
import { complete } from '../speculate/options'
import type { RequestRecord } from '../trace/trace'
import { EngineError, type Calibration, type CascadeRequest, type Cascaded, type EngineInfo, type MachineRequest, type ModelFolder, type OpenOptions, type Progress, type Quality, type QualityRequest, type TraceHeader, type TraceUpdate, type Workload, type WorkloadRequest } from './protocol'
import { ANSWER_TOKENS, cascadeCases, PROMPT_TOKENS } from './cascade'
import { compared, read, weightHistogram, type Read } from './quality'
import type { CalibrationStore } from './store'

/** What differs between a browser's worker, Node and a test. */
export interface HostEnvironment extends MeasureEnvironment {
  /** A reader for one folder of assets/models. */
  model(name: string): ReadFile
  /** Text that prompts of a given length are cut from. */
  passage(): Promise<string>
  store: CalibrationStore
  /** Lets messages in. */
  yieldThread(): Promise<void>
}

export interface RunOptions {
  signal?: AbortSignal
  onStart: (header: TraceHeader) => void
  onUpdate: (update: TraceUpdate) => void
}

/** Real milliseconds between updates: one frame. */
const FLUSH_EVERY_MS = 16
/** Chosen so that the largest workload of the slides fits: 16 sequences of 4,096 positions. */
const KV_BLOCKS = 4096

/** Tokens in a step that every runner has room for without being asked. */
const STEP_TOKENS = 512

/** The tokenizer is timed for so long, or so many times over. */
const TEXT_MS = 20
const TEXT_ROUNDS = 64

/** The pool of a model whose keys and values are larger than the shipped ones' ends here, bytes. */
const KV_BYTES = 512 * 2 ** 20

/** KV blocks where a workload does not say. */
function blocksFor({ config }: Model): number {
  return Math.max(64, Math.min(KV_BLOCKS, Math.floor(KV_BYTES / (BLOCK_SIZE * kvBytesPerToken(config, 4)))))
}

/** The engine itself: models, one runner at a time, one run at a time. Knows no page. */
export class EngineHost {
  private clock: Clock = new WallClock()
  private calibration?: Calibration
  private kind: EngineRunner = 'wasm'
  /** Name that the calibration is kept under. */
  private key = ''
  private notice?: string
  private onChange: (info: EngineInfo) => void = () => {}
  private current?: Loaded
  /** The runner that drafts for it. */
  private drafting?: Loaded
  /** Keys and values of earlier prompts in the current runner's pool. */
  private prefixes?: Prefixes
  private readonly models = new Map<string, Promise<LoadedModel>>()
  /** The reader's own model. */
  private own?: LoadedModel
  private queue: Promise<unknown> = Promise.resolve()
  /** The passage as a model reads it in f32: what other precisions are held against. */
  private exact?: { of: LoadedModel; read: Read }

  constructor(private readonly environment: HostEnvironment) {}

  async open(options: OpenOptions, onProgress: (p: Progress) => void = () => {}, onChange: (info: EngineInfo) => void = () => {}): Promise<EngineInfo> {
    this.onChange = onChange
    this.clock = new WallClock(options.slow)
    const wanted = options.runner
    const { calibration, kind, notice } = await calibrate(this.environment, {
      clock: this.clock, slow: options.slow, wanted, recalibrate: options.recalibrate ?? false,
      text: (name) => this.load(name).then((l) => l.model), store: this.environment.store, onProgress,
    })
    this.calibration = calibration
    this.key = calibrationKey(this.environment, { wanted, slow: options.slow })
    this.kind = kind
    this.notice = notice
    return this.info()
  }

  info(): EngineInfo {
    const calibration = this.opened()
    const { device } = calibration.runners.find((r) => r.device.runner === this.kind)!
    return { device, calibration, notice: this.notice, own: this.own && { name: this.own.model.name, parameters: parameterCount(this.own.model.config) } }
  }

  /** Loads the reader's own model, in turn with runs; undefined lets go of it. Rejects with EngineError; what was in use stays then. */
  bring(folder: ModelFolder | undefined, onProgress: (p: Progress) => void = () => {}): Promise<EngineInfo> {
    const turn = this.queue.then(async () => {
      try {
        const calibration = this.opened()
        const loaded = folder && (await this.loadOwn(folder, onProgress))
        const names = [loaded, this.own].flatMap((l) => (l ? [l.model.name] : []))
        // Another model may have had the same name: what was measured of it says nothing.
        calibration.fits = Object.fromEntries(Object.entries(calibration.fits ?? {}).filter(([key]) => !names.some((name) => key.includes(name))))
        this.dropRunner()
        this.own = loaded
        return this.info()
      } catch (error) {
        throw await this.explain(error)
      }
    })
    this.queue = turn.catch(() => {})
    return turn
  }

  private async loadOwn({ name, files }: ModelFolder, onProgress: (p: Progress) => void): Promise<LoadedModel> {
    const read: ReadFile = async (file) => {
      const found = files.find((f) => f.name === file)
      if (!found) throw new Error('it is not in the folder')
      return found.file.arrayBuffer()
    }
    const loaded = await loadModel(name, read, { maxBytes: this.environment.memoryBytes / 4, onProgress: (done) => onProgress({ done, doing: `Reading ${name}` }) })
    loaded.model.name = `${name} (own)`
    return loaded
  }

  /** Runs a workload; runs asked for meanwhile wait their turn. Rejects with EngineError, or the signal's reason. */
  run(workload: Workload, options: RunOptions): Promise<void> {
    const turn = this.queue.then(() => this.runNow(workload, options))
    this.queue = turn.catch(() => {})
    return turn
  }

  /**
   * This device with a model, as simulations know it: its steps are timed when first asked for, in turn with
   * runs, and kept with the calibration. Rejects as `run`.
   */
  machine(of: MachineRequest, { signal, onProgress = () => {} }: { signal?: AbortSignal; onProgress?: (p: Progress) => void } = {}): Promise<Machine> {
    return this.inTurn(signal, () => this.machineNow(of, onProgress, signal))
  }

  /** Reads the passage in a precision and in f32, in turn with runs. Rejects as `run`. */
  quality(request: QualityRequest, signal?: AbortSignal): Promise<Quality> {
    return this.inTurn(signal, () => this.qualityNow(request, signal))
  }

  /** Both models' answers to pieces of the passage, in turn with runs; `onUpdate` after each piece. Rejects as `run`. */
  cascade(request: CascadeRequest, { signal, onUpdate = () => {} }: { signal?: AbortSignal; onUpdate?: (soFar: Cascaded) => void } = {}): Promise<Cascaded> {
    return this.inTurn(signal, () => this.cascadeNow(request, onUpdate, signal))
  }

  /** After what was asked for before; failures in words. */
  private inTurn<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const turn = this.queue.then(async () => {
      signal?.throwIfAborted()
      try {
        return await work()
      } catch (error) {
        if (signal?.aborted && error === signal.reason) throw error
        throw await this.explain(error)
      }
    })
    this.queue = turn.catch(() => {})
    return turn
  }

  private async qualityNow({ model, weights = { format: 'f32' }, kv }: QualityRequest, signal: AbortSignal | undefined): Promise<Quality> {
    const text = await this.environment.passage()
    const reading = async (precision: Pick<Workload, 'weights' | 'kv'>) => {
      const { runner, loaded } = await this.runnerFor({ model, requests: [], ...precision })
      if (!loaded || loaded.model.source.kind !== 'tensors') throw new EngineError(`${model} has read nothing: quality is asked of trained models.`, 'model')
      return { runner, loaded, weights: loaded.model.source.weights, read: await read(loaded, text, runner, signal) }
    }
    const { loaded: asked } = await this.modelFor(model, {})
    if (!asked || this.exact?.of !== asked) {
      const exact = await reading({})
      this.exact = { of: exact.loaded, read: exact.read }
    }
    const { runner, loaded, weights: tensors, read: other } = await reading({ weights, kv })
    return {
      provenance: { how: 'measured', device: runner.device, at: new Date().toISOString() },
      ...compared(this.exact.read, other, runner.config.vocabSize),
      weights: weightHistogram(tensors, loaded.model, weights),
    }
  }

  private async cascadeNow(request: CascadeRequest, onUpdate: (soFar: Cascaded) => void, signal: AbortSignal | undefined): Promise<Cascaded> {
    const text = await this.environment.passage()
    const { runner: large, loaded } = await this.runnerFor({ model: request.large, requests: [] })
    if (!loaded) throw new EngineError(`${request.large} writes no text: a cascade is of trained models.`, 'model')
    const small = await this.besides(request.small, large, 'its answers mean nothing to it')
    const cascaded: Cascaded = {
      provenance: { how: 'measured', device: large.device, at: new Date().toISOString() },
      small: small.device.model, large: large.device.model, promptTokens: PROMPT_TOKENS, answerTokens: ANSWER_TOKENS, cases: [], complete: false,
    }
    for await (const found of cascadeCases(loaded, text, { small, large }, this.clock, signal)) {
      cascaded.cases.push(found)
      onUpdate({ ...cascaded, cases: [...cascaded.cases] })
      await this.environment.yieldThread()
    }
    // Two other texts lie in both caches now.
    this.prefixes = undefined
    return { ...cascaded, complete: true }
  }

  private async machineNow(of: MachineRequest, onProgress: (p: Progress) => void, signal: AbortSignal | undefined): Promise<Machine> {
    const workload: Workload = { ...(typeof of === 'string' ? { model: of } : of), requests: [] }
    const { runner, model } = await this.runnerFor(workload)
    const calibration = this.opened()
    const key = keyOf(this.kind, model, workload)
    let known = calibration.fits?.[key]
    if (!known) {
      const report = (done: number, doing: string) => onProgress({ done, doing })
      known = { fit: fitSteps(await sweep(runner, this.clock, report, signal, () => this.environment.yieldThread())), at: new Date().toISOString() }
      calibration.fits = { ...calibration.fits, [key]: known }
      await this.environment.store.set(this.key, calibration)
    }
    return {
      label: `${runner.device.name}, ${runner.device.model}`,
      provenance: { how: 'measured', device: runner.device, at: known.at },
      steps: { kind: 'affine', ...known.fit.steps },
      limits: { sequences: runner.limits.sequences, tokens: runner.limits.tokens, blocks: runner.limits.blocks },
      roofs: calibration.runners.find((r) => r.device.runner === this.kind)?.roofs ?? { flopsPerSecond: Infinity, read: [{ bytes: 1, bytesPerSecond: Infinity }] },
      model: { config: runner.config, widths: runner.widths ?? { weight: 4, kv: 4 } },
      resolution: calibration.resolution,
      fit: known.fit,
    }
  }

  close(): void {
    this.dropRunner()
    this.models.clear()
  }

  private async runNow(workload: Workload, { signal, onStart, onUpdate }: RunOptions): Promise<void> {
    signal?.throwIfAborted()
    try {
      const { runner, loaded } = await this.runnerFor(workload)
      const draft = await this.draftFor(workload, runner)
      const { clock, environment } = this
      const prefixes = this.prefixesFor(workload, runner)
      const requests = await this.prepare(workload, runner, loaded, prefixes?.ids)
      signal?.throwIfAborted()
      onStart({
        provenance: { how: 'measured', device: runner.device, at: new Date().toISOString() },
        roofs: this.opened().runners.find((r) => r.device.runner === this.kind)?.roofs,
        resolution: this.opened().resolution,
        kvBlocksTotal: runner.limits.blocks,
        blockSize: BLOCK_SIZE,
        held: machineHeld({ config: runner.config, widths: runner.widths ?? { weight: 4, kv: 4 } }),
        text: workload.timeText && loaded && requests[0] ? this.timeText(loaded, requests[0].prompt) : undefined,
      })
      let pending: TraceUpdate = { requests: requests.map((r) => r.record), events: [], steps: [] }
      let flushed = performance.now()
      const flush = () => {
        if (pending.requests.length + pending.events.length + pending.steps.length === 0) return
        onUpdate(pending)
        pending = { requests: [], events: [], steps: [] }
        flushed = performance.now()
      }
      flush()
      try {
        await serve(requests, {
          runner, clock, signal,
          limits: { maxSequences: workload.maxSequences, maxBatchedTokens: workload.maxBatchedTokens },
          policy: workload.policy,
          cache: prefixes?.cache,
          speculate: workload.speculate && { ...workload.speculate, runner: draft },
          expertsPerToken: workload.expertsPerToken,
          wantExperts: workload.wantExperts,
          yieldThread: () => environment.yieldThread(),
          emit: ({ events, steps }) => {
            for (const e of events) pending.events.push(e)
            for (const s of steps) pending.steps.push(s)
            if (performance.now() - flushed >= FLUSH_EVERY_MS) flush()
          },
        })
      } finally {
        flush()
      }
    } catch (error) {
      if (signal?.aborted && error === signal.reason) throw error
      if (error instanceof RunnerError && error.code === 'out-of-memory' && workload.parameters !== undefined) {
        // A size was tried and is too large: the runner is as good as before.
        this.dropRunner()
        throw new EngineError(`${error.message} Ask for fewer parameters.`, 'out-of-memory', { cause: error })
      }
      throw await this.explain(error)
    }
  }

  /** Puts a failure into words, and the engine back on its feet. */
  private async explain(error: unknown): Promise<EngineError> {
    if (error instanceof EngineError) return error
    if (error instanceof ModelError) return new EngineError(error.message, 'model', { cause: error })
    if (error instanceof RunnerError && (error.code === 'device-lost' || error.code === 'out-of-memory')) {
      const lost = this.kind
      this.dropRunner()
      await this.fallBack(error)
      return new EngineError(`${error.message} ${this.kind === lost ? 'The engine starts afresh' : `The engine goes on with ${this.kind}`}; run it again.`, error.code, { cause: error })
    }
    return new EngineError(error instanceof Error ? error.message : String(error), 'internal', { cause: error })
  }

  /** After a lost device or a full memory: the next best runner that works here, measured before it is used. */
  private async fallBack(error: RunnerError): Promise<void> {
    const other = this.opened().runners.find((r) => r.device.runner !== this.kind)
    if (!other) return
    this.kind = other.device.runner as EngineRunner
    other.roofs ??= await measureRunnerRoofs(this.environment, this.kind, this.clock)
    this.notice = `${error.message} Running on ${other.device.name} instead.`
    this.onChange(this.info())
  }

  private async runnerFor(workload: Workload): Promise<{ runner: Runner; model: Model; loaded?: LoadedModel }> {
    const { loaded, model } = await this.modelFor(workload.model, workload)
    const key = keyOf(this.kind, model, workload)
    if (this.current?.key !== key) {
      this.dropRunner()
      this.current = { key, runner: await this.createRunner(model, workload) }
    }
    return { runner: this.current.runner, model, loaded }
  }

  /** The model's runner beside the current one that drafts for it, with as many KV blocks. */
  private async draftFor({ speculate, model: target }: Workload, runner: Runner): Promise<Runner | undefined> {
    if (!speculate) return undefined
    const { method } = asked(() => complete(speculate))
    if (method === 'lookup') return undefined
    return this.besides(speculate.draft === 'self' ? target : speculate.draft ?? 'tales-0.3m', runner, 'it cannot draft for it')
  }

  /** The runner of a smaller model beside the current one. Rejects with EngineError where it knows other tokens, with what follows from that. */
  private async besides(name: string, runner: Runner, otherwise: string): Promise<Runner> {
    const { model } = await this.modelFor(name, {})
    if (model.config.vocabSize !== runner.config.vocabSize) {
      throw new EngineError(`${model.name} knows ${model.config.vocabSize} tokens and ${runner.device.model} ${runner.config.vocabSize}: ${otherwise}.`, 'model')
    }
    const key = keyOf(this.kind, model, {})
    if (this.drafting?.key !== key) {
      this.dropDraft()
      this.drafting = { key, runner: await this.createRunner(model, {}) }
    }
    return this.drafting.runner
  }

  /** A trained model, or the timing model at its calibrated size or the one asked for. */
  private async modelFor(name: string, { parameters, experts, kvHeads }: Pick<Workload, 'parameters' | 'experts' | 'kvHeads'>): Promise<{ model: Model; loaded?: LoadedModel }> {
    const calibration = this.opened()
    if (name !== 'timing') {
      if (parameters !== undefined || experts !== undefined || kvHeads !== undefined) throw new EngineError(`${name} has the shape it was trained with; sizes, heads and experts are for the timing model.`, 'model')
      if (name === 'own' && !this.own) throw new EngineError('There is no model of your own here yet: drop a model folder on the deck.', 'model')
      const loaded = this.own && (name === 'own' || name === 'tales-5m') ? this.own : await this.load(name === 'tales-5m' ? this.textModel(calibration) : name)
      return { model: loaded.model, loaded }
    }
    if (experts !== undefined && !(Number.isInteger(experts) && experts >= 2 && experts <= 64)) throw new EngineError(`A mixture of ${experts} experts cannot be made: ask for 2 to 64.`, 'model')
    if (parameters !== undefined && !(parameters >= 1e5 && parameters <= 1e11)) throw new EngineError(`A timing model of ${parameters} parameters cannot be made: ask for one between 100,000 and 100 billion.`, 'model')
    return { model: timingModel(parameters ?? calibration.timingParameters, { kvHeads, experts }) }
  }

  private async createRunner(model: Model, { weights, kv, kvBlocks = blocksFor(model), maxBatchedTokens }: Pick<Workload, 'weights' | 'kv' | 'kvBlocks' | 'maxBatchedTokens'>): Promise<Runner> {
    const runner = await this.environment.createRunner(this.kind, model, { blocks: kvBlocks, tokens: wideStep(maxBatchedTokens), weights, kv, tuning: this.calibration?.tuning })
    const refused = refusedPrecision(runner, { weights, kv })
    if (refused) {
      runner.dispose()
      throw new EngineError(`The ${this.kind} runner does not hold ${refused}: choose f32.`, 'model')
    }
    return runner
  }

  /** The prefix cache of this workload; one that is not to be kept begins empty, and ends the one before. */
  private prefixesFor({ prefixCache }: Workload, runner: Runner): Prefixes | undefined {
    const { ttl = Infinity, keep = false } = typeof prefixCache === 'object' ? prefixCache : {}
    if (!prefixCache) return (this.prefixes = undefined)
    if (keep && this.prefixes?.ttl === ttl) return this.prefixes
    const ids = new PrefixIds()
    const cache = new PrefixCache(BLOCK_SIZE, 1, ttl, () => this.clock.now(), new BlockPool(runner.limits.blocks), (id) => ids.contents(id))
    return (this.prefixes = { ttl, ids, cache })
  }

  private textModel(calibration: Calibration): string {
    return this.kind === 'reference' ? 'tales-0.3m' : calibration.textModel
  }

  private load(name: string): Promise<LoadedModel> {
    let model = this.models.get(name)
    if (!model) {
      model = loadModel(name, this.environment.model(name))
      this.models.set(name, model)
      model.catch(() => this.models.delete(name)) // a failed download may succeed next time
    }
    return model
  }

  private dropRunner(): void {
    this.current?.runner.dispose()
    this.current = undefined
    this.prefixes = undefined
    this.dropDraft()
  }

  private dropDraft(): void {
    this.drafting?.runner.dispose()
    this.drafting = undefined
  }

  /**
   * Tokenizes and dates the requests. Tokenizing is the gateway's work, done beside the engine as
   * servers do it; it was measured, and it is what separates 'gateway' from 'queued'.
   */
  private async prepare(workload: Workload, runner: Runner, loaded: LoadedModel | undefined, prefixes: PrefixIds | undefined): Promise<ServeRequest[]> {
    const passage = workload.requests.some((r) => typeof r.prompt === 'number') && loaded ? await this.environment.passage() : ''
    const seen = new Map<string | number, { ids: Int32Array; texts?: string[]; ms: number }>()
    const tokenized = (prompt: string | number) => {
      let entry = seen.get(prompt)
      if (!entry) seen.set(prompt, (entry = this.tokenize(prompt, runner, loaded, passage)))
      return entry
    }
    return workload.requests.map((r, id) => {
      const { ids, texts, ms } = tokenized(r.prompt)
      const present = presentOf(r)
      if (present && workload.prefixCache) throw new EngineError('A context that is only declared present cannot be cached: leave out one of context and prefixCache.', 'prompt')
      const prompt = present ? after(present, ids) : ids
      const oneWay = (r.rtt ?? 0) / 2
      const arrival = r.arrival ?? 0
      const stream = loaded?.tokenizer.stream()
      const length = prompt.length + r.maxTokens
      const record: RequestRecord = {
        id, arrival, promptTokens: prompt.length, maxTokens: r.maxTokens, promptTexts: present ? undefined : texts,
        network: oneWay > 0 ? { out: oneWay, back: oneWay } : undefined,
        present,
        timingOnly: !loaded || present !== undefined || length > loaded.model.trainedContext || undefined,
      }
      return {
        record, prompt, queuedAt: arrival + oneWay + ms, prefix: prefixes?.of(prompt),
        eos: r.ignoreEos || !loaded ? [] : runner.config.eos,
        sampling: r.sampling,
        textOf: stream && ((token: number) => stream.push(token)),
        draftTexts: loaded && ((draft) => Array.from(draft.tokens, (token) => loaded.tokenizer.decode([token]))),
      }
    })
  }

  private tokenize(prompt: string | number, runner: Runner, loaded: LoadedModel | undefined, passage: string) {
    if (!loaded) return { ids: syntheticPrompt(this.lengthOf(prompt), runner.config.vocabSize), ms: 0 }
    const { tokenizer } = loaded
    const start = this.clock.now()
    let text = typeof prompt === 'number' ? passage : prompt
    let ids = tokenizer.encode(text)
    // Four characters a token at most, on average; a few passages end to end are long enough for any slider.
    while (typeof prompt === 'number' && ids.length < prompt) ids = tokenizer.encode((text += `\n\n${passage}`))
    if (typeof prompt === 'number') ids = ids.slice(0, prompt)
    const ms = this.clock.now() - start
    if (ids.length === 0) throw new EngineError('The prompt is empty: type a word or two.', 'prompt')
    if (ids.length >= runner.config.maxPositions) {
      throw new EngineError(`The prompt has ${ids.length} tokens, the model holds ${runner.config.maxPositions}: shorten it.`, 'prompt')
    }
    const stream = tokenizer.stream()
    return { ids: Int32Array.from(ids), texts: ids.map((id) => stream.push(id)), ms }
  }

  /** Text to tokens and back, ms a token: over and over until the clock can tell. */
  private timeText({ tokenizer }: LoadedModel, prompt: Int32Array): { encodeMs: number; decodeMs: number } {
    const ids = Array.from(prompt)
    const text = tokenizer.decode(ids)
    const perToken = (work: () => void) => {
      work()
      const start = this.clock.now()
      let rounds = 0
      do work()
      while (++rounds < TEXT_ROUNDS && this.clock.now() - start < TEXT_MS)
      return (this.clock.now() - start) / rounds / ids.length
    }
    return { encodeMs: perToken(() => tokenizer.encode(text)), decodeMs: perToken(() => tokenizer.decode(ids)) }
  }

  private lengthOf(prompt: string | number): number {
    if (typeof prompt === 'number' && Number.isInteger(prompt) && prompt > 0) return prompt
    throw new EngineError(`The timing model takes a number of prompt tokens, not ${JSON.stringify(prompt)}.`, 'prompt')
  }

  private opened(): Calibration {
    if (!this.calibration) throw new EngineError('The engine was asked for a run before it was opened.', 'internal')
    return this.calibration
  }
}

/** A runner, and what it was made for. */
interface Loaded {
  key: string
  runner: Runner
}

interface Prefixes {
  ttl: number
  ids: PrefixIds
  cache: PrefixCache
}

function keyOf(kind: EngineRunner, model: Model, { weights, kv, kvBlocks, maxBatchedTokens }: Pick<Workload, 'weights' | 'kv' | 'kvBlocks' | 'maxBatchedTokens'>): string {
  return JSON.stringify([kind, model.name, weights?.format ?? 'f32', weights?.group, weights?.asymmetric, kv ?? 'f32', kvBlocks, wideStep(maxBatchedTokens)])
}

/** Room for steps of more tokens than runners have by themselves; undefined where theirs will do. */
function wideStep(tokens: number | undefined): number | undefined {
  return tokens !== undefined && tokens > STEP_TOKENS ? tokens : undefined
}

function presentOf({ context }: WorkloadRequest): number | undefined {
  if (context === undefined || context === 0) return undefined
  if (!(Number.isInteger(context) && context > 0)) throw new EngineError(`A context of ${context} positions cannot be declared present: give a whole number.`, 'prompt')
  return context
}

/** The ids after so many positions that hold anything. */
function after(present: number, ids: Int32Array): Int32Array {
  const out = new Int32Array(present + ids.length)
  out.set(ids, present)
  return out
}

/** What was asked for is checked by those who do it; their words are the page's. */
function asked<T>(check: () => T): T {
  try {
    return check()
  } catch (error) {
    throw new EngineError(error instanceof Error ? error.message : String(error), 'model', { cause: error })
  }
}

/** Ids that mean nothing: the timing model has read nothing. */
function syntheticPrompt(length: number, vocabSize: number): Int32Array {
  return Int32Array.from({ length }, (_, i) => pcg(i) % vocabSize)
}

