import { timingModel } from '$engine/model/synthetic'
import { createWasmRunner } from '$engine/runner/wasm'
import { logitsOf, PROBLEM } from './wasm-problem'

/** What the engine's own worker does: opens a runner whose helpers are workers of this worker. */
const runner = await createWasmRunner(timingModel(PROBLEM.parameters), { threads: 2, blocks: 8 })
const logits = await logitsOf(runner)
runner.dispose()
postMessage({ threads: runner.device.threads, logits })
