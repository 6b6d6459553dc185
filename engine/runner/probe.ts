/** What a runner offers so that its device's best rates can be timed. It reads no clock itself. */
export interface RoofProbe {
  /** Working-set sizes worth trying, bytes, ascending. */
  readonly sizes: readonly number[]
  /** Sets aside that many bytes, for `readPass`. */
  prepare(bytes: number): void | Promise<void>
  /** Reads all of them once; resolves when it is done. */
  readPass(): void | Promise<void>
  /** One matrix product; the FLOPs it did. */
  matmulPass(): number | Promise<number>
  dispose(): void
}
