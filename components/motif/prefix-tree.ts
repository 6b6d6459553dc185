/** A stretch of prompt that requests have in common, and what follows it. */
export interface PrefixNode {
  id: string
  /** What it holds: "system prompt", "chunk 3", "user 7". */
  label: string
  tokens: number
  /** used: by a running request; cached: kept, by none; evicted: was there, is no more; new: to be computed now. */
  state: 'used' | 'cached' | 'evicted' | 'new'
  /** Requests that have come this way. */
  hits?: number
  children: PrefixNode[]
}

export interface PlacedNode {
  node: PrefixNode
  /** Tokens before it, and up to its end. */
  from: number
  to: number
  /** Row of its middle: leaves stand one under the other, parents in the middle of theirs. */
  row: number
  parent?: PlacedNode
}

/** Places a forest: how far each node reaches in tokens, and on which row; `rows` says how many rows there are. */
export function placeTree(roots: readonly PrefixNode[]): { nodes: PlacedNode[]; rows: number; tokens: number } {
  const nodes: PlacedNode[] = []
  let rows = 0
  let tokens = 0
  function visit(node: PrefixNode, from: number, parent?: PlacedNode): PlacedNode {
    const placed: PlacedNode = { node, from, to: from + node.tokens, row: 0, parent }
    nodes.push(placed)
    tokens = Math.max(tokens, placed.to)
    const children = node.children.map((child) => visit(child, placed.to, placed))
    placed.row = children.length ? (children[0]!.row + children.at(-1)!.row) / 2 : rows++
    return placed
  }
  for (const root of roots) visit(root, 0)
  return { nodes, rows, tokens }
}

export interface Prompt {
  /** From the first token on; equal keys at equal places are one stretch. */
  segments: readonly { key: string; label: string; tokens: number }[]
  /** True while the request runs. */
  running?: boolean
}

/** The tree that prompts, in order of arrival, leave behind; the last one's new stretches are 'new' where `computing`. */
export function treeOf(prompts: readonly Prompt[], computing = false): PrefixNode[] {
  const roots: PrefixNode[] = []
  prompts.forEach(({ segments, running }, i) => {
    let level = roots
    let path = ''
    for (const s of segments) {
      path += `/${s.key}`
      let node = level.find((n) => n.id === path)
      const isNew = !node
      if (!node) level.push((node = { id: path, label: s.label, tokens: s.tokens, state: 'cached', hits: 0, children: [] }))
      node.hits!++
      if (computing && i === prompts.length - 1 && isNew) node.state = 'new'
      else if (running && node.state !== 'new') node.state = 'used'
      level = node.children
    }
  })
  return roots
}

/** Tokens of a prompt that the tree holds already, from its start. */
export function cachedTokens(roots: readonly PrefixNode[], prompt: Prompt): number {
  let level: readonly PrefixNode[] = roots
  let path = ''
  let tokens = 0
  for (const s of prompt.segments) {
    path += `/${s.key}`
    const node = level.find((n) => n.id === path && n.state !== 'evicted' && n.state !== 'new')
    if (!node) break
    tokens += node.tokens
    level = node.children
  }
  return tokens
}
