import type { BlockPool } from './blocks'
import type { Sequence } from './scheduler'

/** A cached prefix block (of `tokensPerId` tokens) and those that go on from it. */
interface Node {
  id: number
  parent: Node | undefined
  children: Map<number, Node>
  /** Sequences that use it now. */
  users: number
  /** When it expires if nobody takes it up again, ms. */
  expires: number
  /** Ids of its KV blocks, where there are any. */
  blocks?: number[]
  /** Neighbours in the list of unused nodes, least recently used first. */
  older?: Node
  newer?: Node
}

/**
 * The prefix tree (RadixAttention, Zheng et al. 2024; vLLM's automatic prefix caching): computed blocks
 * of prompts stay after their request, until the pool needs them (least recently used first, leaves
 * before their parents) or their time to live is over. Counted in KV blocks; a node holds
 * `blocksPerId` of them.
 */
export class PrefixCache {
  /** KV blocks held that nobody uses now. */
  evictable = 0
  /** Prompt tokens asked for and found, over all admissions. */
  askedTokens = 0
  hitTokens = 0
  private readonly root: Node = { id: -1, parent: undefined, children: new Map(), users: 1, expires: Infinity }
  private oldest?: Node
  private newest?: Node
  /** The nodes a sequence uses, root's child first. */
  private readonly held = new Map<Sequence, Node[]>()

  constructor(
    /** Tokens a prefix id stands for. */
    readonly tokensPerId: number,
    /** KV blocks of an id. */
    readonly blocksPerId: number,
    /** ms an unused block is kept; Infinity: until the room is needed. */
    private readonly ttl: number,
    private readonly now: () => number,
    /** Where the blocks have ids: the pool they come from. It outlives the scheduler as the cache does. */
    readonly pool?: BlockPool,
    /** Tokens that an id's own block holds; with it the beginning of a block is found too, and copied for its finder. */
    private readonly contents?: (id: number) => ArrayLike<number>,
    /** Told of every id that comes into the tree, and that goes. */
    private readonly users?: { retain(id: number): void; release(id: number): void },
  ) {}

  /** Finds the longest cached prefix of a waiting request: `found…` say what it came to. */
  find(s: Sequence): void {
    const path = this.path
    path.length = 0
    this.foundUnused = 0
    // At least one token must be computed, or there is nothing to sample from.
    const most = Math.min(s.prefix!.length, Math.floor((s.known - 1) / this.tokensPerId))
    for (let node = this.root; path.length < most; ) {
      const next = node.children.get(s.prefix![path.length]!)
      if (!next) break
      if (next.users === 0) this.foundUnused += this.blocksPerId
      path.push((node = next))
    }
    this.foundTokens = path.length * this.tokensPerId
    this.foundBlocks = path.length * this.blocksPerId
    this.copied = undefined
    if (this.contents && s.tokens) this.findPart(s, path[path.length - 1] ?? this.root)
  }
  /** Tokens found, those of `copied` included. */
  foundTokens = 0
  /** A block whose beginning goes on with the text: it has to be copied, since the finder will write behind it. */
  copied?: { block: number; tokens: number }
  foundBlocks = 0
  /** Of `foundBlocks`, those that count as evictable until they are taken. */
  foundUnused = 0
  private path: Node[] = []

  /** Takes what was just found into use: its tokens count as computed, its blocks as held. */
  take(s: Sequence): void {
    for (const node of this.path) this.use(node)
    s.computed = this.foundTokens
    s.blocks = this.foundBlocks
    if (this.pool && this.path.length > 0) {
      s.blockTable = this.path.flatMap((node) => node.blocks!)
      for (const b of s.blockTable) this.pool.share(b)
    }
    this.askedTokens += s.promptTokens
    this.hitTokens += s.computed
    this.held.set(s, this.path)
    this.path = []
  }

  private findPart(s: Sequence, last: Node): void {
    const from = this.foundTokens
    const most = Math.min(this.tokensPerId, s.promptTokens - from, s.known - 1 - from)
    let longest = 0
    for (const child of last.children.values()) {
      const block = this.contents!(child.id)
      let same = 0
      while (same < most && block[same] === s.tokens![from + same]) same++
      if (same > longest) {
        longest = same
        this.copied = { block: child.blocks![0]!, tokens: same }
      }
    }
    this.foundTokens += longest
  }

  /** How many tokens of this prefix are cached; for routers. */
  peek(prefix: readonly number[]): number {
    let depth = 0
    for (let node: Node | undefined = this.root; depth < prefix.length; depth++) {
      node = node.children.get(prefix[depth]!)
      if (!node) break
    }
    return depth * this.tokensPerId
  }

  /** Hands computed blocks of the prompt to the tree; returns how many blocks became free (others had computed the same). */
  insert(s: Sequence): number {
    let path = this.held.get(s)
    const whole = Math.min(s.prefix!.length, Math.floor(Math.min(s.computed, s.promptTokens) / this.tokensPerId))
    if (path && path.length >= whole) return 0
    if (!path) this.held.set(s, (path = []))
    let freed = 0
    while (path.length < whole) {
      const parent = path[path.length - 1] ?? this.root
      const id = s.prefix![path.length]!
      const twin = parent.children.get(id)
      if (twin) {
        // Somebody computed the same meanwhile: one copy is enough.
        this.use(twin)
        freed += this.blocksPerId
        for (const [i, block] of twin.blocks?.entries() ?? []) {
          const at = path.length * this.blocksPerId + i
          this.pool!.share(block)
          this.pool!.release(s.blockTable[at]!)
          s.blockTable[at] = block
        }
        path.push(twin)
      } else {
        const node: Node = { id, parent, children: new Map(), users: 1, expires: Infinity }
        if (this.pool) {
          node.blocks = s.blockTable.slice(path.length * this.blocksPerId, (path.length + 1) * this.blocksPerId)
          for (const b of node.blocks) this.pool.share(b)
        }
        parent.children.set(id, node)
        this.users?.retain(id)
        path.push(node)
      }
    }
    return freed
  }

  /** Lets a sequence's nodes go; returns how many KV blocks stay with the tree. */
  release(s: Sequence): number {
    const path = this.held.get(s)
    if (!path) return 0
    this.held.delete(s)
    // Leaves first, so that they are also evicted first.
    for (let i = path.length - 1; i >= 0; i--) if (--path[i]!.users === 0) this.shelve(path[i]!)
    return path.length * this.blocksPerId
  }

  /** Frees at least so many KV blocks; the caller has seen to it that there are as many. Returns how many. */
  evict(blocks: number): number {
    let freed = 0
    while (freed < blocks) {
      if (!this.oldest) throw new Error(`the prefix cache was asked for ${blocks} blocks and had ${freed}`)
      freed += this.drop(this.oldest)
    }
    return freed
  }

  /** Blocks whose time is over go; returns how many KV blocks became free. */
  expire(): number {
    let freed = 0
    if (this.ttl === Infinity) return freed
    const now = this.now()
    while (this.oldest && this.oldest.expires <= now) freed += this.drop(this.oldest)
    return freed
  }

  private drop(node: Node): number {
    this.unshelve(node)
    node.parent!.children.delete(node.id)
    this.users?.release(node.id)
    for (const b of node.blocks ?? []) this.pool!.release(b)
    return this.blocksPerId
  }

  private use(node: Node): void {
    if (node.users++ === 0) this.unshelve(node)
  }

  private shelve(node: Node): void {
    node.expires = this.now() + this.ttl
    node.older = this.newest
    node.newer = undefined
    if (this.newest) this.newest.newer = node
    else this.oldest = node
    this.newest = node
    this.evictable += this.blocksPerId
  }

  private unshelve(node: Node): void {
    if (node.older) node.older.newer = node.newer
    else this.oldest = node.newer
    if (node.newer) node.newer.older = node.older
    else this.newest = node.older
    node.older = node.newer = undefined
    this.evictable -= this.blocksPerId
  }
}
