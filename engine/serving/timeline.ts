import { Sketch } from './sketch'

/** How things went in an interval of time; ms. Latencies are those of the requests that arrived in it. */
export interface Interval {
  start_ms: number
  end_ms: number
  arrivals: number
  rejected: number
  /** Means over the interval. */
  in_system: number
  replicas: number
  mean_ttft_ms: number | null
  p99_ttft_ms: number | null
  mean_e2e_ms: number | null
  p99_e2e_ms: number | null
}

const MOST = 512

interface Bucket {
  arrivals: number
  rejected: number
  /** Requests × ms and replicas × ms. */
  inSystem: number
  replicas: number
  ttft: Sketch
  e2e: Sketch
}

/** Gathers intervals of equal length, at most 512: when there would be more, each two become one. */
export class Timeline {
  private buckets: Bucket[] = []
  private at = 0
  private inSystem = 0
  private replicas = 0

  constructor(private length: number) {}

  arrived(at: number): void {
    this.bucket(at).arrivals++
  }

  rejected(arrival: number): void {
    this.bucket(arrival).rejected++
  }

  answered(arrival: number, ttft: number, e2e: number): void {
    const b = this.bucket(arrival)
    b.ttft.add(ttft)
    b.e2e.add(e2e)
  }

  /** From `at` on there are so many requests in the system, and so many replicas. */
  changed(at: number, inSystem: number, replicas: number): void {
    while (this.at < at) {
      const b = this.bucket(this.at)
      const end = Math.min(at, (Math.floor(this.at / this.length) + 1) * this.length)
      const ms = end - this.at
      b.inSystem += this.inSystem * ms
      b.replicas += this.replicas * ms
      this.at = end > this.at ? end : at
    }
    this.inSystem = inSystem
    this.replicas = replicas
  }

  /** The intervals so far; the last one ends at the last change. */
  intervals(): Interval[] {
    return this.buckets.map((b, i): Interval => {
      const start_ms = i * this.length
      const end_ms = i < this.buckets.length - 1 ? start_ms + this.length : Math.max(start_ms, Math.min(this.at, start_ms + this.length))
      const mean = (area: number) => (end_ms > start_ms ? area / (end_ms - start_ms) : 0)
      return {
        start_ms, end_ms, arrivals: b.arrivals, rejected: b.rejected, in_system: mean(b.inSystem), replicas: mean(b.replicas),
        mean_ttft_ms: b.ttft.mean, p99_ttft_ms: b.ttft.percentile(99), mean_e2e_ms: b.e2e.mean, p99_e2e_ms: b.e2e.percentile(99),
      }
    })
  }

  private bucket(at: number): Bucket {
    while (at >= this.length * MOST) this.halve()
    const index = Math.floor(at / this.length)
    while (this.buckets.length <= index) this.buckets.push({ arrivals: 0, rejected: 0, inSystem: 0, replicas: 0, ttft: new Sketch(), e2e: new Sketch() })
    return this.buckets[index]!
  }

  private halve(): void {
    this.length *= 2
    const { buckets } = this
    for (let i = 1; i < buckets.length; i += 2) {
      const a = buckets[i - 1]!
      const b = buckets[i]!
      a.arrivals += b.arrivals
      a.rejected += b.rejected
      a.inSystem += b.inSystem
      a.replicas += b.replicas
      a.ttft.merge(b.ttft)
      a.e2e.merge(b.e2e)
    }
    this.buckets = buckets.filter((_, i) => i % 2 === 0)
  }
}
