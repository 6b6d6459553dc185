import { BLOCK_SIZE } from '../runner/runner'

/**
 * Numbers for blocks of tokens such that equal numbers mean equal text from the beginning on: exact, nothing
 * is hashed. One for each whole block of 16.
 */
export class PrefixIds {
  private readonly ids = new Map<string, number>()
  private readonly blocks: Int32Array[] = []

  of(tokens: Int32Array): number[] {
    const out: number[] = []
    let before = -1
    for (let at = 0; at + BLOCK_SIZE <= tokens.length; at += BLOCK_SIZE) {
      const block = tokens.slice(at, at + BLOCK_SIZE)
      const key = `${before} ${block.join()}`
      let id = this.ids.get(key)
      if (id === undefined) {
        this.ids.set(key, (id = this.blocks.length))
        this.blocks.push(block)
      }
      out.push((before = id))
    }
    return out
  }

  /** The tokens of the block that an id ends with. */
  contents(id: number): Int32Array {
    return this.blocks[id]!
  }
}
