/** How tokens are guessed ahead, to be verified many at a time. */
export interface SpeculateOptions {
  /**
   * linear: a small model drafts `k` tokens in a row. dynamic: the same with a `k` that follows what is accepted.
   * lookup: the text itself is searched for what came after the same words before. tree: a small model drafts
   * alternatives where it is unsure.
   */
  method: 'linear' | 'dynamic' | 'lookup' | 'tree'
  /** linear, dynamic (to begin with), lookup: tokens drafted at most (default 4). */
  k?: number
  /** tree: tokens ahead at most (default 6). */
  depth?: number
  /** tree: alternatives after one token at most (default 2). */
  branch?: number
  /** tree: drafted tokens in all, at most (default 16). */
  nodes?: number
}

/** The options with their defaults. Throws RangeError naming the one that is out of range. */
export function complete({ method, k = 4, depth = 6, branch = 2, nodes = 16 }: SpeculateOptions): Required<SpeculateOptions> {
  if (!['linear', 'dynamic', 'lookup', 'tree'].includes(method)) throw new RangeError(`speculation by ${JSON.stringify(method)}: there are linear, dynamic, lookup and tree`)
  for (const [name, value, high] of [['k', k, 16], ['depth', depth, 16], ['branch', branch, 8], ['nodes', nodes, 64]] as const) {
    if (!(Number.isInteger(value) && value >= 1 && value <= high)) throw new RangeError(`speculation's ${name} is ${value}; it goes from 1 to ${high}`)
  }
  return { method, k, depth, branch, nodes }
}

/** "linear:4", "dynamic", "lookup:8", "tree:6x2". Throws RangeError in words for the user. */
export function parseSpeculate(text: string): SpeculateOptions {
  const match = /^(linear|dynamic|lookup)(?::(\d+))?$|^(tree)(?::(\d+)x(\d+))?$/.exec(text)
  if (!match) throw new RangeError(`${JSON.stringify(text)} is no way to speculate: linear:4, dynamic, lookup or tree:6x2 are`)
  const number = (group: number) => (match[group] === undefined ? undefined : Number(match[group]))
  const options: SpeculateOptions = match[3]
    ? { method: 'tree', depth: number(4), branch: number(5) }
    : { method: match[1] as SpeculateOptions['method'], k: number(2) }
  complete(options)
  return options
}
