import { BLOCK_SIZE } from '../runner/runner'

/**
 * Numbers for blocks of tokens such that equal numbers mean equal text from the beginning on: exact, nothing
 * is hashed. One for each whole block of 16. Where requests come without end, whoever uses a number says so
 * (`retain`) and says when no more (`release`): a number that nobody uses is forgotten with its block.
 */
export class PrefixIds {
  private readonly ids = new Map<string, number>()
  private readonly blocks = new Map<number, { tokens: Int32Array; key: string; users: number }>()
  private next = 0

  of(tokens: Int32Array): number[] {
    const out: number[] = []
    let before = -1
    for (let at = 0; at + BLOCK_SIZE <= tokens.length; at += BLOCK_SIZE) {
      const block = tokens.slice(at, at + BLOCK_SIZE)
      const key = `${before} ${block.join()}`
      let id = this.ids.get(key)
      if (id === undefined) {
        this.ids.set(key, (id = this.next++))
        this.blocks.set(id, { tokens: block, key, users: 0 })
      }
      out.push((before = id))
    }
    return out
  }

  /** The tokens of the block that an id ends with. */
  contents(id: number): Int32Array {
    return this.blocks.get(id)!.tokens
  }

  /** How many are known. */
  get size(): number {
    return this.blocks.size
  }

  retain(id: number): void {
    this.blocks.get(id)!.users++
  }

  release(id: number): void {
    const block = this.blocks.get(id)!
    if (--block.users > 0) return
    this.blocks.delete(id)
    this.ids.delete(block.key)
  }
}
