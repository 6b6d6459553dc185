/** What a runner offers so that its device's best rates can be timed. It reads no clock itself. */
export interface RoofProbe {
  /** Working-set sizes worth trying, bytes, ascending. */
  readonly sizes: readonly number[]
  /** Sets aside that many bytes, for `readPass`. */
  prepare(bytes: number): void | Promise<void>
  /** Reads all of them; resolves when it is done. A device with a dear start reads them several times and says how many bytes that made. */
  readPass(): number | void | Promise<number | void>
  /** One matrix product; the FLOPs it did. */
  matmulPass(): number | Promise<number>
  dispose(): void
}
