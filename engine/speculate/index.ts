import type { Runner, StepBatch, StepResult } from '../runner/runner'
import type { Speculator } from './draft'
import { DraftModel } from './draft-model'
import { Linear } from './linear'
import { Lookup } from './lookup'
import { complete, type SpeculateOptions } from './options'
import { Tree } from './tree'

/**
 * The speculator for these options. `run` executes a batch on the draft model; all but lookup need one.
 * Throws RangeError for options that are out of range or a draft runner that is missing.
 */
export function createSpeculator(options: SpeculateOptions, draft?: { runner: Runner; run: (batch: StepBatch) => Promise<StepResult> }): Speculator {
  const { method, k, ...tree } = complete(options)
  if (method === 'lookup') return new Lookup(k)
  if (!draft) throw new RangeError(`speculation by ${method} needs a draft model`)
  const model = new DraftModel(draft.runner, draft.run)
  return method === 'tree' ? new Tree(model, tree) : new Linear(model, k, method === 'dynamic')
}
