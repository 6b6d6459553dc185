import { distribution, drawFrom, without } from './distribution'
import { depths, NOTHING, type Ask, type Draft, type Speculator } from './draft'
import { draws, type DraftModel } from './draft-model'

export interface TreeOptions {
  /** Tokens ahead at most. */
  depth: number
  /** Alternatives after one token at most. */
  branch: number
  /** Drafted tokens in all, at most. */
  nodes: number
}

/** DynaTree's constants (REFERENCE §6): when one successor is enough, and when all of them are tried. */
const SURE = 0.9
const UNSURE = 0.4
/** A path less likely than this is not followed further; one beyond the base depth has to be likelier than that. */
const STOP = 0.1
const DEEP = 0.5
/** A draft on a path less likely than this is not verified. */
const PRUNE = 0.03
const BASE_DEPTH = 5
/** The base depth follows the share accepted over so many verifications. */
const WINDOW = 10
const TARGET = 0.7
const TOLERANCE = 0.1

interface Node {
  token: number
  parent: number
  depth: number
  /** Probability that the draft model gives to the path up to here. */
  path: number
  drawnFrom?: Float64Array
}

/** What a request's acceptance so far says about how deep to draft. */
interface History {
  base: number
  shares: number[]
}

/**
 * A small model drafts a tree: one successor where it is sure, several where it is not, deeper where the path
 * stays likely. Nodes are in breadth-first order, siblings with the likeliest (or first drawn) first. Each
 * level is one step of the small model over the tree so far.
 */
export class Tree implements Speculator {
  private readonly histories = new Map<number, History>()

  constructor(private readonly model: DraftModel, private readonly options: TreeOptions) {}

  wants(): number {
    return this.options.nodes
  }

  async draft(asks: readonly Ask[]): Promise<Draft[]> {
    const most = asks.map((ask) => Math.min(ask.most, this.options.nodes))
    const open = asks.flatMap((ask, i) => (this.model.makeRoom(ask, most[i]!) ? [i] : []))
    if (open.length === 0) return asks.map(() => NOTHING)
    const growing = open.map((i) => new Growing(asks[i]!, most[i]!, this.history(asks[i]!.request).base, this.options))
    const roots = await this.model.catchUp(open.map((i) => asks[i]!), true)
    for (const [k, tree] of growing.entries()) tree.grow(-1, roots[k]!.logits!)
    const { vocabSize } = this.model.runner.config
    for (let depth = 1; depth < this.options.depth; depth++) {
      const deeper = growing.filter((tree) => tree.prepare(depth))
      if (deeper.length === 0) break
      // A step takes so many tokens and sequences; trees are small, so that groups of them fit.
      for (const group of groups(deeper, this.model.runner.limits)) {
        const logits = await this.model.tree(group.map((tree) => ({ ask: tree.ask, tokens: tree.nodes.map((n) => n.token), parents: tree.nodes.map((n) => n.parent) })))
        let row = 0
        for (const tree of group) {
          const first = row
          row += tree.nodes.length
          for (const i of tree.frontier) tree.grow(i, logits.subarray((first + i) * vocabSize, (first + i + 1) * vocabSize))
        }
      }
    }
    const out = asks.map(() => NOTHING)
    for (const [k, i] of open.entries()) out[i] = growing[k]!.draft()
    return out
  }

  learn(request: number, drafted: number, accepted: number): void {
    const history = this.history(request)
    history.shares.push(accepted / drafted)
    if (history.shares.length > WINDOW) history.shares.shift()
    const mean = history.shares.reduce((a, b) => a + b) / history.shares.length
    if (mean > TARGET + TOLERANCE) history.base = Math.min(history.base + 1, this.options.depth)
    else if (mean < TARGET - TOLERANCE) history.base = Math.max(history.base - 1, 1)
  }

  release(request: number): void {
    this.histories.delete(request)
    this.model.release(request)
  }

  private history(request: number): History {
    let history = this.histories.get(request)
    if (!history) this.histories.set(request, (history = { base: Math.min(BASE_DEPTH, this.options.depth), shares: [] }))
    return history
  }
}

/** One request's tree while it grows, level by level. */
class Growing {
  nodes: Node[] = []
  /** Nodes of the deepest level that are to have successors, likeliest path first. */
  frontier: number[] = []

  constructor(readonly ask: Ask, private readonly most: number, private readonly base: number, private readonly options: TreeOptions) {}

  /** Picks what grows beyond `depth`; false when nothing does. */
  prepare(depth: number): boolean {
    this.frontier = []
    if (this.nodes.length >= this.most) return false
    for (const [i, node] of this.nodes.entries()) {
      if (node.depth === depth && node.path >= STOP && (depth < this.base || node.path > DEEP)) this.frontier.push(i)
    }
    this.frontier.sort((a, b) => this.nodes[b]!.path - this.nodes[a]!.path || a - b)
    return this.frontier.length > 0
  }

  /** Successors of node `i` (−1: of the text) by the logits after it. */
  grow(i: number, logits: Float32Array): void {
    const { sampling, draws: draw } = this.ask
    const parent = this.nodes[i]
    const drawn = draws(sampling)
    const depth = (parent?.depth ?? 0) + 1
    // Confidence is the model's own, whatever the temperature of the draw.
    const p = distribution(logits, drawn ? sampling!.temperature : 1)
    const count = Math.min(this.branches(Math.max(...p)), this.most - this.nodes.length)
    let q: Float64Array | undefined = p
    const before = this.nodes.length
    for (let k = 0; k < count && q; k++) {
      const token: number = drawn ? drawFrom(q, draw()) : likeliest(q)
      const path = (parent?.path ?? 1) * p[token]!
      // Drawn ones stay: to drop a draw for what it came to would bend the distribution.
      if (!drawn && path < PRUNE && this.nodes.length > 0) break
      this.nodes.push({ token, parent: i, depth, path, drawnFrom: drawn ? q : undefined })
      q = k + 1 < count ? without(q, token) : undefined
    }
    if (this.nodes.length === before && i < 0) throw new Error('a tree without a first draft')
  }

  /** Breadth first: by depth, and within a level by the order of their parents. */
  draft(): Draft {
    const tokens = Int32Array.from(this.nodes, (n) => n.token)
    const parents = Int32Array.from(this.nodes, (n) => n.parent)
    return { tokens, parents, drawnFrom: draws(this.ask.sampling) ? this.nodes.map((n) => n.drawnFrom!) : undefined }
  }

  private branches(confidence: number): number {
    const { branch } = this.options
    return confidence >= SURE ? 1 : confidence < UNSURE ? branch : Math.ceil((1 + branch) / 2)
  }
}

function likeliest(p: Float64Array): number {
  let best = 0
  for (let i = 1; i < p.length; i++) if (p[i]! > p[best]!) best = i
  return best
}

function* groups(trees: readonly Growing[], { tokens, sequences }: { tokens: number; sequences: number }): Generator<Growing[]> {
  let group: Growing[] = []
  let held = 0
  for (const tree of trees) {
    if (group.length === sequences || held + tree.nodes.length > tokens) {
      yield group
      group = []
      held = 0
    }
    group.push(tree)
    held += tree.nodes.length
  }
  if (group.length) yield group
}

/** Deepest draft of a tree. */
export function depthOf(draft: Draft): number {
  return Math.max(0, ...depths(draft))
}
