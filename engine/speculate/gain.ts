import { roofline, type RooflineOptions } from '../cost/roofline'

/** What one verification comes to on average, as it was measured. */
export interface Verification {
  /** Tokens it yields, the target's own included. */
  tokens: number
  /** Rows it computes: the drafts and the last token. */
  rows: number
  /** Steps of the draft model before it. */
  draftSteps: number
}

export type Served = Pick<RooflineOptions, 'hardware' | 'tensorParallel' | 'dtype' | 'mfu' | 'mbu' | 'overheadMs'> & {
  target: string
  /** Model that drafts; absent: drafts cost nothing (lookup). */
  draft?: string
}

/**
 * How much faster than plain decoding these verifications are on a machine of the catalogue, by roofline, with `batch` sequences at a
 * context each. A verification reads weights and caches once for all its rows and computes every row: while reading binds the rows
 * come free, once computing binds they do not.
 */
export function gain({ target, draft, ...machine }: Served, { tokens, rows, draftSteps }: Verification, batch: number, context: number): number {
  const large = roofline({ ...machine, model: target })
  const plain = large.step(batch, batch * context, 0, 0)
  const { work, roofs } = large.machine!
  const flops = work(batch * rows, batch * rows * context, 0, 0).flops
  const bytes = work(batch * rows, batch * context, 0, 0).bytes
  const verify = 1000 * Math.max(flops / roofs.flopsPerSecond, bytes / roofs.read[0]!.bytesPerSecond) + (roofs.overheadMs ?? 0)
  const drafting = draft === undefined ? 0 : draftSteps * roofline({ ...machine, model: draft }).step(batch, batch * context, 0, 0)
  return (tokens * plain) / (verify + drafting)
}

/** The first of these batches from which speculation is slower than plain decoding; undefined where it never is. */
export function hurtsFrom(served: Served, verification: Verification, batches: readonly number[], context: number): number | undefined {
  return batches.find((batch) => gain(served, verification, batch, context) < 1)
}
