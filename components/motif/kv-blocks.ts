import type { Event, Trace } from '$engine/trace/trace'

/**
 * What a KV block is to the pool: free; holding tokens of one request (used); of several at once (shared);
 * of none, kept for the next with the same prefix (cached); reserved and never to be filled (waste).
 * Blocks on the host lie outside the pool.
 */
export type BlockState = 'free' | 'used' | 'shared' | 'cached' | 'waste' | 'host'

export interface KvBlock {
  state: BlockState
  /** The request that holds it. */
  owner?: number
  /** Share of its positions that hold a token; 1 unless said. */
  fill?: number
}

export interface KvPool {
  blocks: KvBlock[]
  host: KvBlock[]
  blockSize: number
}

export interface PoolOptions {
  /** Blocks in the pool; by default the Trace's own. */
  total?: number
  /** 'contiguous' reserves room for the longest answer in one piece; 'paged' takes a block when one is needed. */
  policy?: 'paged' | 'contiguous'
}

/**
 * The pool as it stands at time `at`. Where the Trace says which blocks its steps took, those; else every step
 * up to then is replayed with the simplest allocator (the lowest free block). Blocks that the Trace
 * counts as held beyond what its requests hold themselves are the prefix cache's: shared while a running
 * request has taken from it, cached otherwise. Throws RangeError when neither Trace nor options say how many blocks there are.
 */
export function poolAt(trace: Trace, at: number, { total = trace.kvBlocksTotal, policy = 'paged' }: PoolOptions = {}): KvPool {
  if (!(total && total > 0)) throw new RangeError('the Trace does not say how many KV blocks there are: give `total`')
  const blockSize = trace.blockSize ?? 16
  const owners = new Int32Array(total).fill(-1)
  const held = new Map<number, { blocks: number[]; tokens: number; cached: number }>()
  const host = new Map<number, number>()
  const records = new Map(trace.requests.map((r) => [r.id, r]))
  const own = (request: number) => {
    let entry = held.get(request)
    if (!entry) held.set(request, (entry = { blocks: [], tokens: 0, cached: 0 }))
    return entry
  }
  const release = (request: number) => {
    for (const b of held.get(request)?.blocks ?? []) owners[b] = -1
    held.delete(request)
  }
  const exact = trace.steps.some((s) => s.batch.some((share) => share.blocks))
  /** These very blocks. Who waits on the host may have had to give up what it kept here; others share them. */
  const given = (request: number, ids: readonly number[]) => {
    for (const waiting of host.keys()) {
      const kept = held.get(waiting)
      if (kept && waiting !== request) kept.blocks = kept.blocks.filter((b) => !ids.includes(b))
    }
    own(request).blocks.push(...ids)
  }
  const take = (request: number, wanted: number) => {
    const entry = own(request)
    if (policy === 'contiguous' && entry.blocks.length === 0) {
      const run = firstRun(owners, wanted)
      if (run >= 0) {
        for (let b = run; b < run + wanted; b++) entry.blocks.push(b)
        owners.fill(request, run, run + wanted)
        return
      }
    }
    for (let b = 0; b < owners.length && entry.blocks.length < wanted; b++) if (owners[b] === -1) {
      owners[b] = request
      entry.blocks.push(b)
    }
  }

  const happened: ({ t: number; event: Event } | { t: number; step: Trace['steps'][number] })[] = [
    ...trace.events.filter((e) => e.t <= at).map((event) => ({ t: event.t, event })),
    ...trace.steps.filter((s) => s.start <= at && s.role !== 'draft').map((step) => ({ t: step.start, step })),
  ].sort((a, b) => a.t - b.t)
  let heldByTrace = 0
  for (const h of happened) {
    if ('event' in h) {
      const { kind, request, count, reason } = h.event
      if (kind === 'cached') own(request).cached = count ?? 0
      else if (kind === 'finished' || kind === 'failed') {
        release(request)
        host.delete(request)
      }
      else if (kind === 'offloaded' || (kind === 'preempted' && reason === 'swap')) {
        host.set(request, count ?? held.get(request)?.blocks.length ?? 0)
        // An offloaded one keeps some layers' blocks, and the Trace knows which.
        if (!exact || kind === 'preempted') release(request)
      } else if (kind === 'preempted') release(request)
      else if (kind === 'scheduled') host.delete(request)
      continue
    }
    heldByTrace = h.step.kvBlocks
    for (const share of h.step.batch) {
      const entry = own(share.request)
      entry.tokens = share.context + share.tokens
      if (exact) {
        if (share.blocks) given(share.request, share.blocks)
        continue
      }
      const record = records.get(share.request)
      const most = policy === 'contiguous' && record ? record.promptTokens + record.maxTokens : entry.tokens
      take(share.request, Math.ceil((most - Math.floor(entry.cached / blockSize) * blockSize) / blockSize))
    }
  }

  const blocks: KvBlock[] = Array.from({ length: total }, () => ({ state: 'free' }))
  let mine = 0
  let borrowed = false
  for (const [owner, { blocks: list, tokens, cached }] of held) {
    borrowed ||= cached > 0
    // The Trace's lists begin with what was found in the cache, the replayed ones do not.
    const private_ = exact ? tokens : tokens - Math.floor(cached / blockSize) * blockSize
    list.forEach((b, i) => {
      const fill = Math.min(Math.max((private_ - i * blockSize) / blockSize, 0), 1)
      blocks[b] = blocks[b]!.owner !== undefined ? { state: 'shared' } : fill > 0 ? { state: 'used', owner, fill } : { state: 'waste', owner }
    })
    mine += list.length
  }
  if (policy === 'paged' && !exact) {
    let rest = Math.min(Math.max(heldByTrace - mine, 0), total - mine)
    for (let b = total - 1; b >= 0 && rest > 0; b--) if (blocks[b]!.state === 'free') {
      blocks[b] = { state: borrowed ? 'shared' : 'cached' }
      rest--
    }
  }
  return { blocks, host: [...host].flatMap(([owner, n]) => Array.from({ length: n }, (): KvBlock => ({ state: 'host', owner }))), blockSize }
}

/** Start of the first run of so many free blocks, −1 where there is none. */
function firstRun(owners: Int32Array, length: number): number {
  let run = 0
  for (let b = 0; b < owners.length; b++) {
    run = owners[b] === -1 ? run + 1 : 0
    if (run === length) return b - length + 1
  }
  return -1
}

/** How many blocks are in each state, and how many positions of held blocks hold nothing. */
export function poolCounts({ blocks, host, blockSize }: KvPool): Record<BlockState, number> & { emptyPositions: number } {
  const counts = { free: 0, used: 0, shared: 0, cached: 0, waste: 0, host: host.length, emptyPositions: 0 }
  for (const b of blocks) {
    counts[b.state]++
    if (b.state === 'used') counts.emptyPositions += Math.round((1 - (b.fill ?? 1)) * blockSize)
    else if (b.state === 'waste') counts.emptyPositions += blockSize
  }
  return counts
}

/** The largest squares in which so many cells fill a box, row by row. */
export function cellGrid(count: number, width: number, height: number, most = 56): { columns: number; cell: number } {
  let best = { columns: 1, cell: 0 }
  for (let columns = 1; columns <= Math.max(count, 1); columns++) {
    const cell = Math.min(width / columns, height / Math.ceil(count / columns), most)
    if (cell > best.cell + 1e-9) best = { columns, cell }
  }
  // Cells that have reached their largest size fill whole rows.
  if (best.cell >= most) best.columns = Math.max(best.columns, Math.min(count, Math.floor(width / most)))
  return best
}
