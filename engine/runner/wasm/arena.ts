/** Lays regions of the linear memory one behind the other, before there is a memory: how much is needed is known first. */
export class Arena {
  constructor(private end: number) {}

  /** Address of `bytes` fresh bytes on a cache line of their own. */
  take(bytes: number): number {
    const address = this.end
    this.end = Math.ceil((address + bytes) / 64) * 64
    return address
  }

  /** `count` 32-bit numbers. */
  takeWords(count: number): number {
    return this.take(4 * count)
  }

  get bytes(): number {
    return this.end
  }
}
